"""What pytest loads: options, fixtures, and the APDUs of a failing test in its report.

Everything else is imported when a test asks for a fixture, so that other tests pay nothing.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from opentsm_tools.testing.applet import Applet, AppletOptions, Package
    from opentsm_tools.testing.power_cut import PowerCut
    from opentsm_tools.testing.secure_element import SecureElement

_DEFAULT_SE = "virtual:embedded"
_SE = pytest.StashKey["SecureElement"]()
_MARK = (
    "applet(params, install_params, aid, module, privileges, project, cap): which applet the fixture of this name "
    "installs, and how"
)
_FLAGS = {
    "test_card": "The card is a test card: published test keys may be tried.",
    "after_failure": "Go on although an authentication failed with this card before.",
    "replace": "Delete what an earlier run left on the card before loading.",
}
_VALUES = {
    "key_file": ("FILE", "Keys of the security domain: TOML with key, or enc, mac and dek (mode 600)."),
    "key_version": ("N", "Key version to ask for.  [default: the card's own choice]"),
    "sd": ("AID", "Security domain to work with.  [default: the issuer's]"),
    "security": ("LEVEL", "01, 03, 11, 13 or 33.  [default: the strongest that the card offers]"),
    "trace": ("DIR", "Write what a virtual SE executed and wrote to DIR/trace.html and trace.json (slower)."),
    "timeout": ("SECONDS", "How long to wait for one answer.  [default: 30]"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --se and what goes with it; each is an entry of the configuration too, such as se_key_file."""
    group = parser.getgroup("opentsm", "applets on secure elements (opentsm)")
    text = f"The secure element: virtual:PROFILE, pcsc:READER, tcp:HOST:PORT or another link.  [default: {_DEFAULT_SE}]"
    group.addoption("--se", dest="opentsm_se", metavar="URI", help=text)
    parser.addini("se", text)
    for name, (metavar, text) in _VALUES.items():
        group.addoption(f"--se-{name.replace('_', '-')}", dest=f"opentsm_se_{name}", metavar=metavar, help=text)
        parser.addini(f"se_{name}", text)
    for name, text in _FLAGS.items():
        group.addoption(f"--se-{name.replace('_', '-')}", dest=f"opentsm_se_{name}", action="store_true", help=text)
        parser.addini(f"se_{name}", text, type="bool")


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark."""
    config.addinivalue_line("markers", _MARK)


def _value(config: pytest.Config, name: str) -> Any:  # noqa: ANN401 - text or a flag
    """Return an option, else the configuration's entry, else None."""
    return config.getoption(f"opentsm_{name}") or config.getini(name) or None


def _open(config: pytest.Config) -> SecureElement:
    from opentsm_agent.links import DEFAULT_TIMEOUT_S  # noqa: PLC0415 - as the module says
    from opentsm_card.aid import Aid  # noqa: PLC0415 - as the module says
    from opentsm_tools.testing.secure_element import SecureElement, SeOptions  # noqa: PLC0415 - as the module says

    key_file, sd, trace, timeout = (_value(config, f"se_{name}") for name in ("key_file", "sd", "trace", "timeout"))
    options = SeOptions(
        _value(config, "se") or _DEFAULT_SE,
        None if key_file is None else config.rootpath / Path(key_file).expanduser(),
        _value(config, "se_key_version"),
        None if sd is None else Aid.from_text(sd),
        _value(config, "se_security"),
        **{name: bool(_value(config, f"se_{name}")) for name in _FLAGS},
        trace=None if trace is None else config.rootpath / trace,
        timeout_s=float(timeout or DEFAULT_TIMEOUT_S),
    )
    return SecureElement(options)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Have what goes wrong before and behind a test told in a line: no traceback says more than the message."""
    from opentsm_card.errors import OpenTsmError  # noqa: PLC0415 - as the module says

    try:
        yield
    except OpenTsmError as error:
        raise pytest.fail.Exception(f"opentsm: {error}", pytrace=False) from None


@pytest.fixture(scope="session")
def _opentsm_se(request: pytest.FixtureRequest) -> Iterator[SecureElement]:
    """Open the secure element, once for all tests."""
    with _told():
        opened = _open(request.config)
    with opened:
        request.config.stash[_SE] = opened
        yield opened


@pytest.fixture
def se(_opentsm_se: SecureElement, request: pytest.FixtureRequest) -> SecureElement:
    """The secure element under test: its link, and a host with an open secure channel where keys are given."""
    with _told():
        _opentsm_se.begin(request.node.nodeid)
    return _opentsm_se


@pytest.fixture(scope="session")
def _opentsm_packages() -> dict[object, Package]:
    """Keep what was built for earlier tests."""
    return {}


@pytest.fixture
def applet(se: SecureElement, request: pytest.FixtureRequest, _opentsm_packages: dict[object, Package]) -> Applet:
    """The project's applet, built, loaded, installed and selected; its instance is deleted behind the test."""
    from opentsm_tools.testing.applet import Applet, AppletOptions, find_project, read_package  # noqa: PLC0415 - as the module says

    given: dict[str, Any] = {}
    for mark in request.node.iter_markers("applet"):  # the closest first
        given = {**mark.kwargs, **given}
    place = request.path
    with _told():
        options: AppletOptions = AppletOptions.parse(given)
        key = (place.parent / (options.cap or options.project or find_project(place))).resolve()
        if key not in _opentsm_packages:
            _opentsm_packages[key] = read_package(options, place)
        under_test = Applet(se, _opentsm_packages[key], options)

    def clean_up() -> None:
        with _told():
            se.recover()
            under_test.delete()

    request.addfinalizer(clean_up)  # noqa: PT021 - what follows a yield belongs to the same report
    with _told():
        under_test.install()
    return under_test


@pytest.fixture
def power_cut(se: SecureElement, request: pytest.FixtureRequest) -> PowerCut:
    """Cuts the power of a virtual SE; on another secure element the test is skipped, and says so."""
    if se.virtual is None:
        pytest.skip(f"cutting the power needs a virtual SE, such as --se {_DEFAULT_SE}; this is {se.options.uri}")
    from opentsm_tools.testing.power_cut import PowerCut  # noqa: PLC0415 - as the module says

    under_test = request.getfixturevalue("applet") if "applet" in request.fixturenames else None
    return PowerCut(se, se.virtual, under_test)


def _leave_out_ours(raised: pytest.ExceptionInfo[BaseException]) -> None:
    """Have an error of ours shown down to the line of the test that met it: below is nothing that is the test's."""
    from opentsm_card.errors import OpenTsmError  # noqa: PLC0415 - as the module says

    last, each = None, raised.tb if isinstance(raised.value, OpenTsmError) else None
    while each is not None:
        package = each.tb_frame.f_globals.get("__name__", "").partition(".")[0]
        if not package.startswith("opentsm_"):
            last = None if package in {"_pytest", "pluggy"} else each
        each = each.tb_next
    if last is not None:
        last.tb_next = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what passed between a failing test and its secure element, and of an error where the test met it."""
    used = item.config.stash.get(_SE, None)
    if not {"se", "applet"} & set(getattr(item, "fixturenames", ())):
        used = None
    if used is not None and call.excinfo is not None and not item.config.getoption("fulltrace"):
        _leave_out_ours(call.excinfo)
    report = yield
    if report.failed and used is not None:
        report.sections.append((f"APDUs ({used.options.uri})", used.link.text()))
    return report
