"""NO_COLOR, small screens, and screens that change their size."""

from __future__ import annotations

import pytest

from tests.tui.scenes import SCENES, under_load
from tests.tui.screen import showing, showing_scene


async def test_without_colours_no_colour_is_sent_and_states_still_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with showing(SCENES["one-failed"]().begin()) as shown:
        await shown.sees("● decode-0", "↻ decode-3", "▲ DEGRADED", "following")
        await shown.press("down")
        await shown.sees("▸● router-0")
        styles = {
            segment.style
            for strip in shown.app.screen._compositor.render_strips()
            for segment in strip.apply_filter(shown.app._filters[-1], shown.app.screen.background_colors[0])
            if segment.style
        }
        assert {str(style.color) for style in styles if style.color} <= {"Color('default', ColorType.DEFAULT)"}
        assert sum(line.startswith("▸") for line in shown.lines) == 1
        assert any(style.bold for style in styles), "the state of the deployment"


@pytest.mark.parametrize("scene", SCENES)
async def test_it_fits_80x24(scene: str) -> None:
    async with showing_scene(SCENES[scene](), size=(80, 24)) as (shown, _):
        assert shown.lines[0].startswith(" chat  ")
        await shown.until(lambda: shown.lines[-1].startswith(" q Quit"))
        assert sum(" │ " in line for line in shown.lines) >= 4, shown.text
        assert all(len(line) <= 80 for line in shown.lines)


async def test_it_grows_and_shrinks() -> None:
    async with showing_scene(under_load(), size=(80, 24)) as (shown, _):
        await shown.misses("KIND")
        await shown.pilot.resize_terminal(200, 60)
        await shown.sees("KIND", "── details", "prompt tokens/s")
        await shown.pilot.resize_terminal(80, 24)
        await shown.misses("KIND", "── details", "prompt tokens/s")
        await shown.sees("following")
