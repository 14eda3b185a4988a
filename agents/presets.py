"""Named training runs."""

from typing import Final

from agents.config import EMBEDDED, DQNConfig, MarketConfig, PPOConfig, TrainConfig
from rl_trader.config import EMBEDDED_ENV, Assumptions

DEMO: Final = TrainConfig(
    market=MarketConfig(
        symbols=(EMBEDDED,),
        interval="30m",
        train=("2020-01-01", "2025-01-01"),
        validation=("2025-01-01", "2025-04-01"),
        test=("2025-04-01", "2025-07-01"),
    ),
    env=EMBEDDED_ENV,
    ppo=PPOConfig(
        total_timesteps=2_000_000,
        net_arch=(32, 32),
    ),
    dqn=DQNConfig(total_timesteps=400_000, gamma=0.95, net_arch=(32, 32), learning_rate=1e-3),
    evaluations=5,
)

BTCUSDT_30M: Final = TrainConfig()

BTCUSDT_4H: Final = TrainConfig(
    market=MarketConfig(
        interval="4h",
        train=("2022-03-01", "2024-07-01"),
        validation=("2024-07-01", "2025-01-01"),
        test=("2025-01-01", "2025-07-01"),
    ),
)

MAJORS_4H: Final = TrainConfig(
    market=MarketConfig(
        symbols=("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "LTCUSDT", "DOGEUSDT"),
        interval="4h",
        train=("2021-01-01", "2024-07-01"),
        validation=("2024-07-01", "2025-01-01"),
        test=("2025-01-01", "2025-07-01"),
        assumptions=Assumptions(missing_funding="base", missing_mark="last"),
    ),
)

PRESETS: Final[dict[str, tuple[str, TrainConfig]]] = {
    "demo": ("The embedded market, whose optimum is known; needs no data.", DEMO),
    "btcusdt-30m": ("BTCUSDT on 30-minute bars, 2023 to mid 2025.", BTCUSDT_30M),
    "btcusdt-4h": ("BTCUSDT on 4-hour bars, March 2022 to mid 2025.", BTCUSDT_4H),
    "majors-4h": ("Eight large symbols on 4-hour bars, 2021 to mid 2025, one policy for all.", MAJORS_4H),
}
