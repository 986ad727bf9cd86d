"""A package that is put off: not there until somebody uses it, and then it is the package itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from sd3demo.ui.server.deferred_imports import deferred, replaced

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "put_off.py").write_text("import sys\nsys.put_off_ran = True\nVALUE = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delattr(sys, "put_off_ran", raising=False)
    monkeypatch.delitem(sys.modules, "put_off", raising=False)
    return "put_off"


def ran() -> bool:
    return hasattr(sys, "put_off_ran")


def test_it_is_imported_at_its_first_use_by_whoever_holds_the_stand_in(package: str) -> None:
    with deferred(package):
        import put_off
    assert not ran()
    assert package not in sys.modules
    assert put_off.VALUE == 3
    assert ran()
    assert sys.modules[package] is not put_off


def test_everybody_else_gets_the_package_itself(package: str) -> None:
    with deferred(package):
        import put_off  # noqa: F401
    import put_off as real

    assert ran()
    assert real is sys.modules[package]
    assert real.__file__


def test_a_use_while_it_is_put_off_works_as_well(package: str) -> None:
    with deferred(package):
        from put_off import VALUE
    assert VALUE == 3


def test_what_is_there_already_or_nowhere_is_left_alone(package: str) -> None:
    import put_off

    with deferred(package, "no_such_package_at_all"):
        assert sys.modules[package] is put_off
        assert "no_such_package_at_all" not in sys.modules
    assert sys.modules[package] is put_off


def test_the_page_is_built_without_pandas_and_gradio_has_it_when_it_asks() -> None:
    code = (
        "import sys; from sd3demo.ui import build, core; build(core())\n"
        "assert 'pandas' not in sys.modules\n"
        "from gradio import caching\n"
        "frame = caching.pd.DataFrame({'x': [1]})\n"
        "import pandas; assert isinstance(frame, pandas.DataFrame)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_a_module_has_the_functions_given_in_place_of_its_own(package: str) -> None:
    with replaced(package, VALUE=lambda: 4):
        import put_off
    assert ran()
    assert put_off.VALUE() == 4
    assert put_off is sys.modules[package]


def test_a_name_that_the_module_has_not_is_an_error(package: str) -> None:
    with replaced(package, OTHER=lambda: 4), pytest.raises(AttributeError, match="OTHER"):
        import put_off  # noqa: F401


def test_the_page_writes_no_type_stubs_of_gradios_components() -> None:
    """gradio has the function that the page replaces, and reads no component's source at its import."""
    code = (
        "import ast; parse = ast.parse; seen = []\n"
        "ast.parse = lambda *given, **named: (seen.append(1), parse(*given, **named))[1]\n"
        "import sd3demo.ui, gradio.component_meta as meta\n"
        "assert meta.create_or_modify_pyi.__module__ == 'sd3demo.ui', meta.create_or_modify_pyi\n"
        "assert len(seen) < 20, len(seen)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
