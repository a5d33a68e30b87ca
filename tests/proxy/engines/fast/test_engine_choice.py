"""Which engine serves, and what happens where the fast one cannot be had."""

from __future__ import annotations

import sys

import pytest
import uvloop
from stoa_proxy.config import ProxyConfig, config_from_env
from stoa_proxy.engine_choice import choose_engine, choose_loop
from stoa_proxy.engines.complete.server import AiohttpEngine
from stoa_proxy.engines.fast.engine import FastEngine
from stoa_proxy.errors import ConfigInvalid


def test_the_setting_chooses_the_engine() -> None:
    assert config_from_env({}).engine == "aiohttp"
    assert config_from_env({"STOA_PROXY_ENGINE": " Fast "}).engine == "fast"
    with pytest.raises(ConfigInvalid, match="STOA_PROXY_ENGINE must be one of aiohttp, fast"):
        config_from_env({"STOA_PROXY_ENGINE": "quick"})
    assert choose_engine("aiohttp") is AiohttpEngine
    assert choose_engine("fast") is FastEngine


def test_the_fast_engine_gets_the_fast_event_loop_and_the_other_one_its_own() -> None:
    config = ProxyConfig(engine="fast")
    assert choose_loop(config) == (config, uvloop.new_event_loop)
    assert choose_loop(ProxyConfig()) == (ProxyConfig(), None)


@pytest.mark.parametrize("missing", ["uvloop", "httptools"])
def test_without_its_libraries_the_complete_engine_serves_with_a_warning(
    missing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    for name in [name for name in sys.modules if name.startswith("stoa_proxy.engines.fast")]:
        monkeypatch.delitem(sys.modules, name)
    config, _ = choose_loop(ProxyConfig(engine="fast"))
    assert choose_engine(config.engine) is AiohttpEngine
    (record,) = caplog.records
    assert "the fast engine is not used, but the complete one" in record.getMessage()
