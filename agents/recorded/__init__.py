"""Agents on recorded markets: walked through them cell by cell, and the page of what they earned."""
