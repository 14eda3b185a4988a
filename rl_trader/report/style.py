"""The skeleton and the style of the report's page."""

from typing import Final

PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
<script>$plotly</script>
</head>
<body>
<header>
<h1>$name</h1>
<p class="headline">$headline</p>
</header>
<main>
<div class="cards">$cards</div>
<p class="luck"><strong>$verdict</strong> This is a replay of the past, and no promise of profit.</p>
<section>
<div class="bar"><h2>Balance and drawdown</h2>
<div class="switch" role="group" aria-label="Axis of the balance">
<button type="button" class="on" data-axis="linear">Linear</button><button type="button" data-axis="log">Log</button>
</div></div>
$equity
</section>
$judgement
<section>
<h2>Position over price</h2>
<p>The price takes the colour of the position that was held over the bar.</p>
$positions
</section>
<section>
<h2>Where the profit came from</h2>
<div class="pair"><div>$attribution</div><div>$flows</div></div>
</section>
<section>
<h2>Figures beside the baselines</h2>
<p>Same bars, same costs, same exposure limit and stop. A dash is a figure that is not defined, such as the Sharpe ratio
of a balance that does not move. Shares are of the sum of the absolute values of price, fees, slippage, funding and
liquidation.</p>
$table
</section>
$symbols
$random
<section>
<h2>What it decided and what it held</h2>
<div class="pair"><div>$targets</div><div>$exposure</div></div>
</section>
<section>
<h2>Assumptions</h2>
$assumptions
<p class="small">Lines of more than $max_points points are drawn through the lowest and the highest point of every
stretch; every bar is in equity.parquet.</p>
</section>
</main>
<script>
document.querySelectorAll(".switch button").forEach((button) => button.addEventListener("click", () => {
  Plotly.relayout("equity", {"yaxis.type": button.dataset.axis, "yaxis.autorange": true});
  document.querySelectorAll(".switch button").forEach((other) => other.classList.toggle("on", other === button));
}));
</script>
</body>
</html>
"""

STYLE: Final = """
:root { --ink: #1f2933; --soft: #5b6777; --line: #e1e6ee; --accent: #0b5fff; --back: #f4f6f9; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); line-height: 1.5; font-size: 15px;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
header, main { max-width: 1180px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 28px; }
h1 { font-size: 28px; margin: 0 0 4px; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 8px; }
h3 { font-size: 15px; margin: 12px 0 0; color: var(--soft); }
p { margin: 0 0 10px; color: var(--soft); max-width: 90ch; }
.headline { font-size: 15px; max-width: none; }
.headline strong { color: var(--ink); }
section { background: white; border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin: 16px 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(145px, 1fr)); gap: 12px; margin: 16px 0; }
.card { background: white; border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; }
.card .name, .card .note { color: var(--soft); font-size: 12.5px; }
.card .value { font-size: 24px; font-weight: 600; font-variant-numeric: tabular-nums; }
.card:first-child .value { color: var(--accent); }
.luck { margin: 0 2px; max-width: none; }
.luck strong { color: var(--ink); }
.bar { display: flex; justify-content: space-between; align-items: center; gap: 12px; }
.switch { display: flex; border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.switch button { border: 0; background: white; color: var(--soft); padding: 5px 12px; font: inherit; cursor: pointer; }
.switch button.on { background: var(--accent); color: white; }
.pair { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 12px; }
.pair > div { min-width: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
thead th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom; }
tbody th, thead th:first-child { text-align: left; font-weight: 400; position: sticky; left: 0; background: white; }
td:nth-child(2), thead th:nth-child(2) { background: #eef4ff; font-weight: 600; color: var(--ink); }
.plain td:nth-child(2) { background: none; font-weight: 400; }
.plain thead th:nth-child(2) { background: none; color: var(--soft); }
.pair .plain tbody th { white-space: normal; }
tr.group th { font-weight: 600; padding-top: 14px; color: var(--accent); }
tr.group th span { position: sticky; left: 10px; }
ul { margin: 0 0 10px; padding-left: 20px; color: var(--soft); }
.small { font-size: 13px; }
@media (max-width: 900px) { .pair { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 640px) {
  header, main { padding-left: 10px; padding-right: 10px; }
  section { padding: 12px 10px; }
  h1 { font-size: 22px; }
  tbody th { white-space: normal; min-width: 130px; }
}
"""
