"""Who a visitor is: nobody becomes somebody else by writing a header."""

import pytest

from sd3demo.ui.server.visitors import visitor_of


@pytest.mark.parametrize(
    ("host", "forwarded", "username", "behind_proxy", "visitor"),
    [
        ("203.0.113.9", "", "", False, "203.0.113.9"),
        ("93.184.216.34", "8.8.8.8", "", False, "93.184.216.34"),  # no proxy wrote that
        ("10.0.0.1", "8.8.8.8", "", True, "8.8.8.8"),
        ("10.0.0.1", "1.1.1.1, 8.8.8.8", "", True, "8.8.8.8"),  # the left one is the visitor's own
        ("10.0.0.1", "8.8.8.8, 10.2.3.4", "", True, "8.8.8.8"),  # a second proxy inside
        ("10.0.0.1", "not an address", "", True, "10.0.0.1"),
        ("10.0.0.1", "10.9.9.9", "", True, "10.9.9.9"),
        ("2001:4860:1:2:3:4:5:6", "", "", False, "2001:4860:1:2::/64"),
        ("::ffff:8.8.8.8", "", "", False, "8.8.8.8"),
        ("10.0.0.1", "8.8.8.8", "ada", True, "user ada"),
        ("testclient", "", "", False, "testclient"),
    ],
)
def test_a_visitor_is_a_name_or_the_address_that_the_proxy_saw(
    host: str, forwarded: str, username: str, behind_proxy: bool, visitor: str
) -> None:
    assert visitor_of(host, forwarded, username, behind_proxy=behind_proxy) == visitor
