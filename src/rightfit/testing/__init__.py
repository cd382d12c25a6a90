"""Public conformance suites: what every plug-in must hold, as named checks that any test runner can call.

    @pytest.mark.parametrize(("name", "check"), check_family(SPEC))
    def test_family(name, check):
        check()

A check raises AssertionError with one sentence. Checks build their own rows (`example` of the modality's SPEC), so they
need no data and no network. Unavailable is raised by a family that cannot be built here, such as one that lacks its
weights.
"""

from rightfit.testing._audit import check_audit
from rightfit.testing._case import table
from rightfit.testing._drift import check_drift_test
from rightfit.testing._family import check_family

__all__ = ["check_audit", "check_drift_test", "check_family", "table"]
