"""Who a visitor is to the queue: a name where people log in, else an address.

Behind a proxy the address is the last public one of X-Forwarded-For: what stands further left the visitor may
have written. Addresses of IPv6 count by their /64, which is what one person is given.
"""

import ipaddress


def visitor_of(host: str, forwarded: str, username: str, *, behind_proxy: bool) -> str:
    """Return the visitor's key. `forwarded`, the X-Forwarded-For header, is read behind a proxy alone."""
    if username:
        return f"user {username}"
    if behind_proxy:
        addresses = [found for part in forwarded.split(",") if (found := _address(part)) is not None]
        public = [each for each in addresses if each.is_global]
        for each in (public or addresses)[-1:]:
            return _key(each)
    found = _address(host)
    return host if found is None else _key(found)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip().removeprefix("[").partition("]")[0])
    except ValueError:
        return None


def _key(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
