"""GenEval as published, for context: other pictures, other prompts, another judge."""

from html import escape

# SD3 paper, table 5. The columns are those of the embedded world's categories, in GenEval's order.
COLUMNS = ("overall", "single object", "two objects", "counting", "colours", "position", "attribution")
PUBLISHED: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("minDALL-E", (0.23, 0.73, 0.11, 0.12, 0.37, 0.02, 0.01)),
    ("SD v1.5", (0.43, 0.97, 0.38, 0.35, 0.76, 0.04, 0.06)),
    ("PixArt-alpha", (0.48, 0.98, 0.50, 0.44, 0.80, 0.08, 0.07)),
    ("SD v2.1", (0.50, 0.98, 0.51, 0.44, 0.85, 0.07, 0.17)),
    ("DALL-E 2", (0.52, 0.94, 0.66, 0.49, 0.77, 0.10, 0.19)),
    ("SDXL", (0.55, 0.98, 0.74, 0.39, 0.85, 0.15, 0.23)),
    ("SDXL Turbo", (0.55, 1.00, 0.72, 0.49, 0.80, 0.10, 0.18)),
    ("IF-XL", (0.61, 0.97, 0.74, 0.66, 0.81, 0.13, 0.35)),
    ("DALL-E 3", (0.67, 0.96, 0.87, 0.47, 0.83, 0.43, 0.45)),
    ("SD3 depth 18, 512²", (0.58, 0.97, 0.72, 0.52, 0.78, 0.16, 0.34)),
    ("SD3 depth 24, 512²", (0.62, 0.98, 0.74, 0.63, 0.67, 0.34, 0.36)),
    ("SD3 depth 30, 512²", (0.64, 0.96, 0.80, 0.65, 0.73, 0.33, 0.37)),
    ("SD3 depth 38, 512²", (0.68, 0.98, 0.84, 0.66, 0.74, 0.40, 0.43)),
    ("SD3 depth 38, 512², DPO", (0.71, 0.98, 0.89, 0.73, 0.83, 0.34, 0.47)),
    ("SD3 depth 38, 1024², DPO", (0.74, 0.99, 0.94, 0.72, 0.89, 0.33, 0.60)),
)


def published() -> str:
    """The table as HTML."""
    heads = "".join(f"<th scope='col'>{name}</th>" for name in ("model", *COLUMNS))
    rows = "".join(
        f"<tr><th scope='row'>{escape(model)}</th>{''.join(f'<td>{score:.2f}</td>' for score in scores)}</tr>"
        for model, scores in PUBLISHED
    )
    return (
        f"<div class='listing study-table'><table><thead><tr>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )
