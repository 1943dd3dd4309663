"""The TOML file as typed models."""

from calque.config.config import Config, build, load_config, section_settings
from calque.config.messages import checked
from calque.config.presets import OF_STEPS, check_used, merge
from calque.config.sections import (
    CategoryConfig,
    FitConfig,
    LeaderboardConfig,
    OptimiserConfig,
    PlayerConfig,
    ReadConfig,
    SimulateConfig,
    TuneConfig,
)
from calque.config.simulators import named_simulator
from calque.config.toml import to_toml

__all__ = ["OF_STEPS", "CategoryConfig", "Config", "FitConfig", "LeaderboardConfig", "OptimiserConfig", "PlayerConfig",
           "ReadConfig", "SimulateConfig", "TuneConfig", "build", "check_used", "checked", "load_config", "merge",
           "named_simulator", "section_settings", "to_toml"]
