"""The gateway's attached devices: who is woken, and when a push fails instead of vanishing."""

from __future__ import annotations

import asyncio

from opentsm_tsm.mno.hub import Hub


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_waiting_device_gets_the_push() -> None:
    async def scenario() -> list[str]:
        hub = Hub(5)
        poll = asyncio.create_task(hub.wait("device", ["se-1"], 10))
        await asyncio.sleep(0)
        assert hub.push("se-1", "s1")
        return await poll

    assert asyncio.run(scenario()) == ["s1"]


def test_a_push_for_another_se_is_not_delivered_and_says_so() -> None:
    async def scenario() -> list[str]:
        hub = Hub(5)
        poll = asyncio.create_task(hub.wait("device", ["se-1"], 0.02))
        await asyncio.sleep(0)
        assert not hub.push("se-2", "s1")
        return await poll

    assert asyncio.run(scenario()) == []


def test_a_push_between_two_polls_is_kept_for_the_next() -> None:
    async def scenario() -> list[str]:
        hub = Hub(5)
        assert await hub.wait("device", ["se-1"], 0) == []
        assert hub.push("se-1", "s1")
        assert hub.push("se-1", "s1")
        assert hub.push("se-1", "s2")
        return await hub.wait("device", ["se-1"], 10)

    assert asyncio.run(scenario()) == ["s1", "s2"]


def test_a_device_is_offline_after_the_grace() -> None:
    clock = Clock()

    async def scenario() -> tuple[bool, bool]:
        hub = Hub(5, clock)
        await hub.wait("device", ["se-1"], 0)
        clock.now += 4
        early = hub.push("se-1", "s1")
        clock.now += 2
        return early, hub.push("se-1", "s2")

    assert asyncio.run(scenario()) == (True, False)


def test_a_device_that_hung_up_is_offline_at_once() -> None:
    async def scenario() -> bool:
        hub = Hub(5)
        poll = asyncio.create_task(hub.wait("device", ["se-1"], 10))
        await asyncio.sleep(0)
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
        hub.detach("device")
        return hub.push("se-1", "s1")

    assert asyncio.run(scenario()) is False


def test_a_second_poll_of_a_device_ends_the_first_and_gets_the_push() -> None:
    async def scenario() -> tuple[list[str], list[str]]:
        hub = Hub(5)
        first = asyncio.create_task(hub.wait("device", ["se-1"], 10))
        await asyncio.sleep(0)
        second = asyncio.create_task(hub.wait("device", ["se-1"], 10))
        await asyncio.sleep(0)
        hub.push("se-1", "s1")
        return await first, await second

    assert asyncio.run(scenario()) == ([], ["s1"])


def test_wake_ups_that_nobody_fetches_are_bounded() -> None:
    async def scenario() -> list[str]:
        hub = Hub(5)
        await hub.wait("device", ["se-1"], 0)
        for number in range(100):
            hub.push("se-1", f"s{number}")
        return await hub.wait("device", ["se-1"], 0)

    sessions = asyncio.run(scenario())
    assert sessions == [f"s{number}" for number in range(84, 100)]


def test_a_devices_old_certificate_does_not_take_the_wake_ups_of_its_new_one() -> None:
    async def scenario() -> tuple[list[str], list[str]]:
        hub = Hub(5)
        old = asyncio.create_task(hub.wait("old certificate", ["se-1"], 10))
        new = asyncio.create_task(hub.wait("new certificate", ["se-1"], 10))
        await asyncio.sleep(0)
        assert hub.push("se-1", "s1")
        done, waiting = await asyncio.wait({old, new}, timeout=1)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return old.result() if old in done else [], new.result() if new in done else []

    assert asyncio.run(scenario()) == (["s1"], ["s1"])
