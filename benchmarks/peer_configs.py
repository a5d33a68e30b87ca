"""Configurations of the gateways that stand beside the data plane: nginx and Envoy."""

from __future__ import annotations

from typing import Any

NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000000; tcp_nodelay on;
  {http}
}}
"""
UPSTREAM = """
  server {{ listen 127.0.0.1:{port} backlog=1024; listen 127.0.0.2:{port} backlog=1024;
    location / {{ default_type application/json; return 200 "{body}"; }}
    location /large {{ default_type application/json; set $k "{kilobyte}";
      return 200 "$k$k$k$k$k$k$k$k$k$k"; }} }}
"""
PLAIN = """
  upstream up {{ {servers} keepalive 128; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} backlog=1024;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
    {more}
    location /apis/acme/billing/ {{ proxy_pass http://up/; }} }}
"""
FULL = """
  map_hash_bucket_size 256;
  map $http_x_api_key $consumer {{ default ""; "{key}" "c1"; }}
  limit_req_zone $consumer zone=calls:10m rate=1000000r/s;
  log_format calls '$remote_addr $time_iso8601 "$request" $status $body_bytes_sent $consumer';
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} backlog=1024;
    access_log {folder}/access.log calls buffer=64k;
    limit_req zone=calls burst=1000000 nodelay;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Consumer-Id $consumer; proxy_set_header X-API-Key "";
    {locations} }}
"""
# Envoy's own form of JSON, which it reads as YAML.
ENVOY = """
{{"admin": {{"address": {{"socket_address": {{"address": "127.0.0.1", "port_value": {admin}}}}}}},
"static_resources": {{"listeners": [{{"name": "in",
  "address": {{"socket_address": {{"address": "127.0.0.1", "port_value": {port}}}}},
  "filter_chains": [{{"filters": [{{"name": "http", "typed_config": {{
    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "stat_prefix": "in", "codec_type": "HTTP1", "generate_request_id": false,
    "http_filters": [
      {{"name": "limit", "typed_config": {{
        "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "limit",
        "token_bucket": {{"max_tokens": 1000000000, "tokens_per_fill": 1000000000, "fill_interval": "1s"}},
        "filter_enabled": {{"default_value": {{"numerator": 100, "denominator": "HUNDRED"}}}},
        "filter_enforced": {{"default_value": {{"numerator": 100, "denominator": "HUNDRED"}}}}}}}},
      {{"name": "router", "typed_config": {{
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}}}],
    "route_config": {{"virtual_hosts": [{{"name": "all", "domains": ["*"], "routes": [
      {{"match": {{"prefix": "/apis/acme/billing-7777/",
        "headers": [{{"name": "x-api-key", "string_match": {{"exact": "{key}"}}}}]}},
        "route": {{"cluster": "up", "prefix_rewrite": "/"}}}}]}}]}}}}}}]}}]}}],
"clusters": [{{"name": "up", "type": "STATIC", "load_assignment": {{"cluster_name": "up",
  "endpoints": [{{"lb_endpoints": [{{"endpoint": {{"address": {{"socket_address": {{
    "address": "127.0.0.1", "port_value": {upstream}}}}}}}}}]}}]}}}}]}}}}
"""  # noqa: E501 - the names of types are so long


def balanced_fields(upstream: int) -> dict[str, Any]:
    """What a route of ours has more for two backends and a credential."""
    return {
        "upstreams": [
            {"url": f"http://127.0.0.1:{upstream}", "weight": 3},
            {"url": f"http://127.0.0.2:{upstream}", "weight": 1},
        ],
        "load_balancer": "weighted",
        "backend_auth": {"type": "basic", "username": "u", "password": "p"},
    }
