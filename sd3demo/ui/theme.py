"""One theme, light and dark, in the fonts of the visitor's system: the page asks nobody else for anything."""

import gradio as gr
from gradio.themes.utils.colors import Color

FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

PINE = Color(
    name="pine",
    c50="#eefaf6",
    c100="#d3f2e7",
    c200="#a8e4d2",
    c300="#6fcfb7",
    c400="#3bb298",
    c500="#1d957d",
    c600="#107765",
    c700="#0f5f52",
    c800="#104c43",
    c900="#103f38",
    c950="#062621",
)
SAND = Color(
    name="sand",
    c50="#faf9f7",
    c100="#f3f1ed",
    c200="#e6e2db",
    c300="#d2ccc2",
    c400="#a59e92",
    c500="#79736a",
    c600="#5b564f",
    c700="#434039",
    c800="#2a2825",
    c900="#1d1c1a",
    c950="#131211",
)


def theme() -> gr.themes.Base:
    """Warm greys with one green for what can be acted on."""
    return gr.themes.Base(
        primary_hue=PINE,
        secondary_hue=PINE,
        neutral_hue=SAND,
        font=FONT,
        font_mono=MONO,
        radius_size="md",
        spacing_size="md",
        text_size="md",
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="0px",
        block_shadow="none",
        block_label_text_weight="600",
        block_title_text_weight="600",
        block_title_text_color="*neutral_900",
        block_title_text_color_dark="*neutral_100",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_info_text_size="*text_sm",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
    )
