"""Opening a tab as a person does: on a narrow screen, in the menu where the tabs end."""

from playwright.sync_api import Page


def open_tab(page: Page, title: str) -> None:
    tab = page.get_by_role("tab", name=title).first
    if tab.is_visible():
        tab.click()
    else:
        page.locator(".overflow-menu > button").first.click()  # tabs within a tab have one of their own
        page.locator(".overflow-dropdown").first.get_by_role("button", name=title, exact=True).click()
