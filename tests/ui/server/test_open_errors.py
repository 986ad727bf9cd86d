"""The sentence for a page that does not open names the cause."""

import errno
import os

import pytest

from sd3demo.ui.app import why_not_open


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOTDIR, errno.ENOSPC])
def test_a_folder_that_gradio_cannot_write_is_named(code: int) -> None:
    said = why_not_open(OSError(code, os.strerror(code), "/no/such/place"), 7860)
    assert f"/no/such/place: {os.strerror(code)}" in said
    assert "GRADIO_TEMP_DIR" in said
    assert "another program" not in said


def test_a_port_that_is_gone_is_named() -> None:
    assert "at port 7860" in why_not_open(OSError("Cannot find empty port in range: 7860-7860."), 7860)
