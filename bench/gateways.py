"""What is measured, as data: our doors with money off and on, the floor, and whichever peers are installed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

KEY = "sk-bench"
PEERS = Path(__file__).with_name("peers")
DIRECT = "direct"
FLOOR = "bare-none"

# Models of the mock (its plan.rs reads their names), each with a price, so that money on has something to book.
MODELS = ("mock", "mock-c50", "mock-c50-g5")


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """One row. In its texts ``$address`` is where it listens (``$port`` its port), ``$upstream`` is the mock's URL
    (``$upstream_address`` without the scheme), ``$folder`` is its own.
    """

    name: str
    program: Path
    """Skipped, with a note, where this is not installed."""
    interpreter: str = ""
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Written into its folder before it starts: name to text."""
    headers: tuple[str, ...] = ()
    model_prefix: str = ""
    books: bool | None = None
    """Whether the first reply must name what it was charged; ``None`` for those who know no money."""
    start_timeout_s: float = 20
    is_slow: bool = False
    """Cannot keep up with 500 requests a second; is given longer runs instead."""


def configuration() -> str:
    """gotoai.yaml: one provider with priced models. Its address and key come from the environment."""
    price = '{input_per_mtok: "0.15", output_per_mtok: "0.60"}'
    models = "".join(f"      - {{id: {model}, price: {price}}}\n" for model in MODELS)
    return f"providers:\n  openai:\n    api_key: ${{OPENAI_API_KEY}}\n    models_mode: allowlist\n    models:\n{models}"


def gotoai(name: str, program: Path, *arguments: str, ledger: str, durability: str = "strict") -> Gateway:
    """One of ours: real authentication, one worker, a ledger of its own."""
    env = {
        "OPENAI_API_KEY": "sk-upstream",
        "OPENAI_BASE_URL": "$upstream/v1",
        "GOTOAI_MASTER_KEY": KEY,
        "GOTOAI_CONFIG": "$folder/gotoai.yaml",
        "GOTOAI_DATA_DIR": "$folder/data",
        "GOTOAI_LEDGER": ledger,
        "GOTOAI_DURABILITY": durability,
        "GOTOAI_WORKERS": "1",
        "LOG_LEVEL": "warn",
        "PORT": "$port",
    }
    files = {"gotoai.yaml": configuration().replace("$", "$$")}
    return Gateway(name=name, program=program, arguments=arguments, env=env, files=files, books=ledger == "on")


def ours(home: Path) -> list[Gateway]:
    """Both HTTP doors, money off and on."""
    native, uvicorn = home / "venv/bin/gotoai", home / "venv/bin/uvicorn"
    serve = ("gotoai:app", "--port", "$port", "--loop", "uvloop", "--http", "httptools")
    quiet = ("--no-access-log", "--log-level", "warning")
    return [
        gotoai("gotoai-off", native, "serve", ledger="off"),
        gotoai("gotoai-on", native, "serve", ledger="on"),
        gotoai("gotoai-on-relaxed", native, "serve", ledger="on", durability="relaxed"),
        gotoai("gotoai-asgi", uvicorn, *serve, *quiet, ledger="off"),
        gotoai("gotoai-asgi-on", uvicorn, *serve, *quiet, ledger="on"),
    ]


def floor(home: Path) -> list[Gateway]:
    """A hyper proxy that knows nothing: no body looked at; model swapped and usage read."""
    program = home / "target-harness/release/bareproxy"
    upstream = "$upstream_address"
    return [
        Gateway(name=FLOOR, program=program, arguments=("$address", upstream, "none")),
        Gateway(name="bare-splice", program=program, arguments=("$address", upstream, "splice")),
    ]


def peers(home: Path) -> list[Gateway]:
    """Others, where they are installed: the system's proxies, and gateways below BENCH_HOME (see BENCHMARKS.md)."""
    portkey = home / "npm/node_modules/@portkey-ai/gateway/build/start-server.js"
    litellm_env = {"LITELLM_LOG": "ERROR", "LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    text = {path.name: path.read_text() for path in PEERS.iterdir()}
    return [
        Gateway(
            name="nginx",
            program=Path("/usr/sbin/nginx"),
            arguments=("-p", "$folder", "-c", "$folder/nginx.conf"),
            files={"nginx.conf": text["nginx.conf"]},
        ),
        Gateway(
            name="haproxy",
            program=Path("/usr/sbin/haproxy"),
            arguments=("-db", "-f", "$folder/haproxy.cfg"),
            files={"haproxy.cfg": text["haproxy.cfg"]},
        ),
        Gateway(
            name="litellm",
            program=home / "litellm/bin/litellm",
            arguments=(
                "--config",
                "$folder/litellm.yaml",
                "--host",
                "127.0.0.1",
                "--port",
                "$port",
                "--num_workers",
                "1",
            ),
            env=litellm_env | {"DISABLE_ADMIN_UI": "True"},
            files={"litellm.yaml": text["litellm.yaml"]},
            start_timeout_s=90,
            is_slow=True,
        ),
        Gateway(
            name="portkey",
            program=portkey,
            interpreter="node",
            arguments=("--port=$port", "--headless"),
            env={"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost", "NODE_ENV": "production"},
            headers=("x-portkey-provider: openai", "x-portkey-custom-host: $upstream/v1"),
        ),
        Gateway(
            name="llmg-gateway",
            program=home / "tools/bin/llmg-gateway",
            env={"OPENAI_API_KEY": "sk-upstream", "LLMG_CONFIG": "$folder/llmg.toml", "RUST_LOG": "error"},
            files={"llmg.toml": text["llmg.toml"]},
            model_prefix="openai/",
        ),
        Gateway(
            name="litellm-rs",
            program=home / "tools/bin/gateway",
            env={"RUST_LOG": "error"},
            files={"config/gateway.yaml": text["litellm-rs.yaml"]},
            start_timeout_s=30,
        ),
    ]


def all_gateways(home: Path) -> list[Gateway]:
    """Everything there is, the floor first."""
    return [*floor(home), *ours(home), *peers(home)]
