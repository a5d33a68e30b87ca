"""The standard variables of OpenTelemetry, as far as they are about spans over OTLP/HTTP."""

from __future__ import annotations

import pytest
from stoa_proxy.config import bounds_from_env, config_from_env
from stoa_proxy.errors import ConfigInvalid
from stoa_proxy.tracing_config import TracingConfig, tracing_from_env

BASE = "http://collector:4318"
ON = {"OTEL_EXPORTER_OTLP_ENDPOINT": BASE}


def test_nothing_is_traced_without_an_endpoint() -> None:
    assert tracing_from_env({}) is None
    assert tracing_from_env({"OTEL_SERVICE_NAME": "x", "OTEL_EXPORTER_OTLP_ENDPOINT": " "}) is None
    assert config_from_env({}).tracing is None


@pytest.mark.parametrize("name", ["OTEL_SDK_DISABLED=true", "OTEL_TRACES_EXPORTER=none"])
def test_it_can_be_switched_off(name: str) -> None:
    key, _, value = name.partition("=")
    assert tracing_from_env({**ON, key: value}) is None


def test_the_path_of_spans_is_added_to_the_general_endpoint_alone() -> None:
    assert tracing_from_env(ON) == TracingConfig(f"{BASE}/v1/traces")
    assert tracing_from_env({"OTEL_EXPORTER_OTLP_ENDPOINT": f"{BASE}/in/"}) == TracingConfig(
        f"{BASE}/in/v1/traces"
    )
    own = {**ON, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://other/spans"}
    assert tracing_from_env(own) == TracingConfig("https://other/spans")


def test_all_variables_are_read() -> None:
    env = {
        **ON,
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x, a=b",
        "OTEL_SERVICE_NAME": "edge",
        "OTEL_RESOURCE_ATTRIBUTES": "team=blue,service.name=other",
        "OTEL_TRACES_SAMPLER": "traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.01",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
        "OTEL_BSP_MAX_QUEUE_SIZE": "100",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "500",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    assert tracing_from_env(env) == TracingConfig(
        f"{BASE}/v1/traces",
        (("authorization", "Bearer x"), ("a", "b")),
        "edge",
        (("team", "blue"),),
        is_parent_based=False,
        ratio=0.01,
        timeout=2.5,
        max_queue=100,
        max_batch=100,
        delay=0.2,
    )
    assert bounds_from_env(env)["tracing"] == tracing_from_env(env)


@pytest.mark.parametrize(
    ("sampler", "is_parent_based", "ratio"),
    [
        ("always_on", False, 1.0), ("always_off", False, 0.0), ("traceidratio", False, 0.25),
        ("parentbased_always_on", True, 1.0), ("parentbased_always_off", True, 0.0),
        ("parentbased_traceidratio", True, 0.25), ("", True, 1.0),
    ],
)  # fmt: skip
def test_samplers_are_those_of_the_specification(
    sampler: str, is_parent_based: bool, ratio: float
) -> None:
    env = {**ON, "OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": ".25"}
    config = tracing_from_env(env)
    assert config is not None
    assert (config.is_parent_based, config.ratio) == (is_parent_based, ratio)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "must be an http or https URL"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:secret@h", "must not hold a user"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "must be http/json"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "must be otlp or none"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "must be one of always_on"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret", "must be name=value pairs"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=secret%0d%0ab: c", "can be sent as headers"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "must be 1 or more"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1s", "must be a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused_without_its_secret(
    name: str, value: str, says: str
) -> None:
    with pytest.raises(ConfigInvalid, match=says) as raised:
        config_from_env({**ON, name: value})
    assert name in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("ratio", ["2", "1.5", "-0.1", "nan", "1e-3", "x"])
def test_a_ratio_is_a_number_from_0_to_1(ratio: str) -> None:
    env = {**ON, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio}
    with pytest.raises(ConfigInvalid, match="OTEL_TRACES_SAMPLER_ARG"):
        tracing_from_env(env)
