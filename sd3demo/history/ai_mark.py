"""The mark that a model made a picture, for other programs: IPTC's Digital Source Type in an XMP packet.

IPTC Photo Metadata Standard 2025.1, `Iptc4xmpExt:DigitalSourceType`; a PNG holds XMP in an iTXt chunk.
"""

from PIL.PngImagePlugin import PngInfo

from sd3demo import __version__

XMP_KEYWORD = "XML:com.adobe.xmp"
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    f'xmp:CreatorTool="sd3demo {__version__}" Iptc4xmpExt:DigitalSourceType="{TRAINED}"/>'
    "</rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
)


def add_ai_mark(texts: PngInfo) -> None:
    """Add the packet to the text chunks of a PNG file."""
    texts.add_itxt(XMP_KEYWORD, PACKET)
