"""The TOML file as typed models."""

from calque.config.config import Config, build, load_config
from calque.config.messages import checked
from calque.config.presets import OF_STEPS, check_used, merge
from calque.config.sections import CategoryConfig, FitConfig, LeaderboardConfig, OptimiserConfig, ReadConfig
from calque.config.toml import to_toml

__all__ = ["OF_STEPS", "CategoryConfig", "Config", "FitConfig", "LeaderboardConfig", "OptimiserConfig", "ReadConfig",
           "build", "check_used", "checked", "load_config", "merge", "to_toml"]
