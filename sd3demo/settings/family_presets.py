"""What a preset of an extrapolation has otherwise in one model family, beside what all of them share."""

from collections.abc import Mapping

from sd3demo.catalogue import Family

FAMILY_PRESETS: Mapping[Family, Mapping[str, Mapping[str, object]]] = {
    "flux": {
        "paper-flux": {"copies_at": "grid", "schedule": "uniform"},
        "release": {
            "shift": 3.0,
            "reshift": 2.0,
            "rope_base": 10.0,
            "copies_at": "grid",
            "guidance": 3.5,
            "large_guidance": 7.0,
            "schedule": "uniform",
        },
    },
}
"""FLUX.1 is the model of I-Max's release: shift 3, then 6, the base of RoPE times 10, copies of the text at
the corners of the native windows, guidance 3.5, then 7. The paper (section 2.3) has grid positions too.
"""
