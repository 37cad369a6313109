"""Each key does what the page of keys says."""

from __future__ import annotations

from msgspec.structs import replace
from textual.command import CommandPalette
from textual.screen import ModalScreen
from textual.widgets import Input

from dynamo_cli.runtime.control import ServiceStatus
from dynamo_cli.tui.keys import KEYS, MOVING
from tests.tui.scenes import all_failed, starting, under_load
from tests.tui.screen import Shown, showing_scene


async def test_every_key_is_on_the_page_of_keys_and_the_page_closes() -> None:
    async with showing_scene(under_load()) as (shown, _):
        await shown.press("question_mark")
        for key in KEYS:
            await shown.sees(str(key.tooltip))
        for _, words in MOVING:
            await shown.sees(words)
        await shown.press("escape")
        await shown.sees("all services")


async def test_u_shows_how_to_ask_and_copies_it() -> None:
    async with showing_scene(under_load()) as (shown, _):
        await shown.press("u")
        await shown.sees(
            "ready at http://127.0.0.1:8000/v1", "/v1/chat/completions", "from openai import OpenAI", "next: "
        )
        await shown.press("c")
        await shown.sees("copied the request")
        assert shown.app.clipboard.startswith("curl http://127.0.0.1:8000/v1/chat/completions")
        await shown.press("p")
        assert "client.chat.completions.create(" in shown.app.clipboard
        await shown.press("escape")
        await shown.sees("all services")


async def test_before_it_is_ready_there_is_nothing_to_ask_and_then_it_says_so() -> None:
    async with showing_scene(starting()) as (shown, client):
        await shown.press("u")
        await shown.sees("chat is STARTING; there is something")
        client.told = replace(client.told, state="READY")
        client.happens()
        await shown.sees("u shows a")


async def test_the_line_of_keys_is_clicked() -> None:
    async with showing_scene(under_load()) as (shown, _):
        line = shown.lines[-1]
        assert line.startswith(" q Quit  ? Keys  u Use  / Search  f Follow")
        await shown.pilot.click("#keys", offset=(line.index("Wrap"), 0))
        await shown.sees("wrapped")


async def test_enter_and_d_open_and_close_the_details() -> None:
    async with showing_scene(under_load()) as (shown, _):
        await shown.select("decode-2")
        await shown.press("enter")
        await shown.sees("── details", "decode-2  ● READY", "34 running, 3 waiting, KV 91 %", "admin", "HF_TOKEN=***")
        await shown.sees("--max-model-len 32768", "system 9092", "weights 21.4 s", "×20, the slowest 1.2 ms")
        await shown.press("d")
        await shown.sees("── log")
        await shown.misses("── details")


async def test_details_stand_beside_the_log_where_there_is_room() -> None:
    async with showing_scene(under_load(), size=(200, 60)) as (shown, _):
        await shown.sees("── log", "── details", "frontend-0  ● READY")
        await shown.press("d")
        await shown.misses("── details")
        await shown.sees("── log")


async def test_details_of_one_that_failed_tell_why_and_what_helps() -> None:
    async with showing_scene(all_failed()) as (shown, _):
        await shown.select("decode-1")
        await shown.press("d")
        await shown.sees("decode-1  ✗ FAILED", "exited with code 1", "max_model_len: 3.1 GiB are missing on GPU 1")
        await shown.sees("crashes/decode-1-20260921T141320", "none, 5 restarts")


async def test_o_shows_the_log_of_the_selected_service_as_the_selection_moves() -> None:
    async with showing_scene(under_load()) as (shown, _):
        await shown.press("o")
        await shown.sees("log  frontend-0")
        assert all("POST /v1/chat" in line for line in shown.log)
        await shown.press("down", "down")
        await shown.sees("log  decode-0")
        assert all("Engine 000" in line for line in shown.log)
        await shown.press("o")
        await shown.sees("log  all services")
        assert any(line.startswith("frontend-0 │") for line in shown.log)


async def test_w_folds_long_lines() -> None:
    async with showing_scene(all_failed(), size=(104, 40)) as (shown, _):
        await shown.misses("(4.87 GiB).")
        await shown.press("w")
        await shown.sees("(4.87 GiB).", "wrapped")
        await shown.press("w")
        await shown.misses("(4.87 GiB).", "wrapped")


async def test_t_shows_when_lines_arrived() -> None:
    async with showing_scene(under_load()) as (shown, _):
        await shown.press("t")
        await shown.sees("14:13:52.930 frontend-0 │")


async def test_l_goes_through_the_levels() -> None:
    async with showing_scene(all_failed(), size=(120, 60)) as (shown, _):
        await shown.press("l", "l")
        await shown.sees("warning and worse")
        assert not any("Using cache directory" in line for line in shown.log)
        assert any("Traceback" in line for line in shown.log), "a line without a level belongs to the error before it"
        await shown.press("l", "l")
        await shown.misses("and worse")


async def test_slash_searches_and_n_goes_around() -> None:
    async with showing_scene(under_load()) as (shown, _):
        await shown.press("slash", *"preempted", "enter")
        await shown.sees("/preempted 1 of 1", "WARNING scheduler: 2 requests were preempted")
        await shown.press("slash", *"POST.*200", "enter")
        await shown.sees("/POST.*200 90 of 90 · paused")
        await shown.press("N", "N")
        await shown.sees("88 of 90")
        await shown.press("n")
        await shown.sees("89 of 90")
        await shown.press("n", "n")
        await shown.sees(" 1 of 90")
        await shown.press("escape")
        await shown.misses("of 90")
        await shown.sees("following")


async def test_what_is_not_found_is_told() -> None:
    async with showing_scene(under_load()) as (shown, _):
        await shown.press("slash", *"[nowhere", "enter")
        await shown.sees("not found: [nowhere")


async def test_n_without_a_search_asks_for_one_and_escape_closes_it() -> None:
    async with showing_scene(under_load()) as (shown, _):
        await shown.press("n")
        await shown.sees("search: a regular expression")
        await shown.press("escape")
        await shown.misses("search: a regular expression")


async def test_ampersand_leaves_only_what_matches() -> None:
    async with showing_scene(under_load()) as (shown, _):
        await shown.press("ampersand", *"PREEMPTED|WARNING", "enter")
        await shown.sees("& PREEMPTED|WARNING")
        assert [line.split(" │ ")[1][:7] for line in shown.log] == ["WARNING"]
        await shown.press("escape")
        await shown.misses("& PREEMPTED")
        assert len(shown.log) > 5


async def test_f_pauses_and_follows_again() -> None:
    async with showing_scene(under_load()) as (shown, _):
        await shown.press("f")
        await shown.sees("paused at line")
        await shown.press("f")
        await shown.sees("following")


async def test_scrolling_up_pauses_and_the_end_follows() -> None:
    async with showing_scene(under_load()) as (shown, _):
        await shown.press("tab", "up", "up")
        await shown.sees("paused at line")
        await shown.press("home")
        await shown.sees("paused at line 1 of 170")
        await shown.press("end")
        await shown.sees("following")


async def test_z_leaves_only_the_log() -> None:
    async with showing_scene(under_load()) as (shown, _):
        await shown.press("z")
        await shown.misses("SERVICE", "requests/s")
        await shown.press("escape")
        await shown.sees("SERVICE", "requests/s")


async def test_c_copies_what_is_seen_or_the_command() -> None:
    async with showing_scene(under_load()) as (shown, _):
        await shown.press("c")
        await shown.sees(f"copied {len(shown.log)} lines")
        assert shown.app.clipboard.splitlines() == shown.log
        await shown.press("d")
        await shown.sees("command")
        await shown.press("tab", "c")
        await shown.until(lambda: shown.app.clipboard.startswith("/opt/dynamo/bin/python -m dynamo_cli frontend "))


async def test_a_selection_with_the_mouse_is_copied() -> None:
    async with showing_scene(under_load()) as (shown, _):
        await shown.pilot.mouse_down("#log", offset=(14, 2))
        await shown.pilot.hover("#log", offset=(20, 3))
        await shown.pilot.mouse_up("#log", offset=(20, 3))
        await shown.sees("paused")
        first, second = shown.log[2:4]
        await shown.press("c")
        assert shown.app.clipboard == f"{first[13:]}\n{second[:20]}"


async def test_keys_give_orders_and_those_that_hurt_ask_first() -> None:
    orders: dict[tuple[str, ...], list[object]] = {
        ("r", "r"): [("restart", "decode-1", "rolling")],
        ("r", "n"): [("restart", "decode-1")],
        ("r", "escape"): [],
        ("r", "down", "down", "enter"): [],
        ("x", "x"): [("stop", "decode-1")],
        ("x", "ctrl+c"): [],
        ("s",): [("start", "decode-1")],
        ("plus", "enter"): [{"decode": 5}],
        ("minus", "enter"): [{"decode": 3}],
        ("plus", "down", "enter"): [],
        ("plus", "backspace", "9", "enter"): [{"decode": 9}],
        ("plus", "escape"): [],
        ("plus", "ctrl+c"): [],
    }
    async with showing_scene(under_load()) as (shown, client):
        await shown.select("decode-1")
        for keys, wanted in orders.items():
            client.orders.clear()
            for key in keys:
                asked = shown.app.screen
                await shown.press(key)
                if key in ("r", "x", "plus", "minus") and key == keys[0]:
                    await shown.until(lambda asked=asked: shown.app.screen is not asked, "a question")  # type: ignore[misc]
            await shown.until(lambda: not isinstance(shown.app.screen, ModalScreen), "the answer")
            await shown.app.workers.wait_for_complete()
            assert client.orders == wanted, keys


async def test_the_selection_goes_on_with_what_took_over_or_to_what_moved_up() -> None:
    """Never to another service at the other end of the table, which the next key would stop."""
    async with showing_scene(under_load()) as (shown, client):

        async def become(*services: ServiceStatus) -> None:
            client.told = replace(client.told, services=list(services))
            client.happens()
            names = [service.name for service in services]
            await shown.until(lambda: shown.app._services._names == names, "the new table")

        await shown.select("decode-2")
        *others, one, two, three = client.told.services
        heir = replace(two, name="decode-2.b", replaces="decode-2")
        await become(*others, one, two, three, heir)
        assert shown.app._services.selected == "decode-2"
        await become(*others, one, three, replace(heir, replaces=""))
        assert shown.app._services.selected == "decode-2.b"
        await become(*others, one)
        assert shown.app._services.selected == "decode-1"


async def test_an_order_that_is_refused_is_told() -> None:
    async with showing_scene(under_load()) as (shown, client):
        client.refusal = "decode is being changed"
        await shown.press("s")
        await shown.sees("decode is being changed")


async def palette(shown: Shown, words: str) -> None:
    await shown.press("ctrl+p")
    await shown.until(lambda: isinstance(shown.app.screen, CommandPalette))
    shown.app.screen.query_one(Input).value = words
    await shown.sees(words.capitalize())
    await shown.pilot.pause(0.2)
    await shown.press("enter")


async def test_the_palette_acts_on_any_service_and_pool() -> None:
    async with showing_scene(under_load()) as (shown, client):
        await palette(shown, "stop decode-0")
        await shown.sees("Stop decode-0?")
        await shown.press("x")
        await palette(shown, "restart all of decode")
        await shown.sees("Restart decode?")
        await shown.press("r")
        await palette(shown, "scale decode")
        await shown.sees("Replicas of decode, now 4")
        await shown.press("up", "enter")
        await palette(shown, "log of decode-3")
        await shown.sees("log  decode-3")
        await shown.until(lambda: len(client.orders) == 3)
        assert client.orders == [("stop", "decode-0"), ("restart", "decode", "rolling"), {"decode": 5}]


async def test_light_colours_come_and_go() -> None:
    async with showing_scene(starting()) as (shown, _):
        await palette(shown, "light or dark")
        await shown.until(lambda: not shown.app.current_theme.dark)
        await shown.sees("LOADING")
