"""Whatever is sent to the local exchange is answered in the exchange's form, and a refusal changes nothing."""

from tests.fuzz.run import fuzz


def test_random_and_malformed_requests_are_answered_and_change_nothing_they_should_not() -> None:
    findings = fuzz(4_000, seed=11)
    assert findings.faults == []
    assert findings.answers["200"] > 500
    assert len(findings.answers) > 25  # different codes
