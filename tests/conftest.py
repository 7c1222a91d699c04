"""How hard tests with drawn cases try, by profile (`--hypothesis-profile`); `drawn.examples` scales each test's number.

`dev`, the default, draws other cases every time; `ci` draws the same ones, so that two runs test the same; `nightly`
draws many.
"""

from drawn import BASE
from hypothesis import HealthCheck, settings

_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", _COMMON, max_examples=BASE)
settings.register_profile("ci", _COMMON, max_examples=BASE, derandomize=True)
settings.register_profile("nightly", _COMMON, max_examples=2_000)
settings.load_profile("dev")
