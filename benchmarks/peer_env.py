"""`mna/Arithmetic-v0` as Stable-Baselines3 wants it, many problems at once.

The wrapper holds the registers, so one step is one decision, as in our training.
"""

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv

from mna.environments import SEED_LADDER, Registers, generate, legal_actions, observation

NAME = "mna/Arithmetic-v0"


def legal_choices(actions: np.ndarray, masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The actions (B,), with a random legal one in the place of each that its row of masks (B, A) does not allow."""
    chance = (1 - rng.random(masks.shape)) * masks
    return np.where(masks[np.arange(len(actions)), actions], actions, chance.argmax(1))


class AnyAction(gym.Wrapper):
    """One problem, for an agent without masks: a random legal action replaces an illegal one.

    So each of its steps is a decision too, and an episode ends where ours would. It is told nothing and pays nothing;
    a penalty would be a reward that the masked agents do not have.
    """

    def reset(self, **options):
        if options.get("seed") is not None:
            self.rng = np.random.default_rng(options["seed"])
        return self.env.reset(**options)

    def step(self, action):
        mask = self.env.unwrapped.action_masks()
        return self.env.step(int(legal_choices(np.array([action]), mask[None], self.rng)[0]))


class PeerEnv(VecEnv):
    """Many problems in one environment of Gymnasium, not one environment each, with `action_masks` for MaskablePPO.

    any_action: as in AnyAction, for an agent without masks.
    """

    def __init__(self, num_envs: int, levels=SEED_LADDER, any_action: bool = False, seed: int = 0):
        self.env = gym.make_vec(NAME, num_envs, levels=levels)
        self.any_action, self.rng = any_action, np.random.default_rng(seed)
        super().__init__(num_envs, self.env.single_observation_space, self.env.single_action_space)
        self.seed(seed)

    def reset(self) -> np.ndarray:
        observations, info = self.env.reset(seed=self._seeds[0])
        self._reset_seeds()
        self.masks = info["action_mask"]
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = legal_choices(actions, self.masks, self.rng) if self.any_action else actions

    def step_wait(self):
        observations, rewards, done, _, info = self.env.step(self.actions)
        self.masks = info["action_mask"]  # of the problems that follow, where one is done
        infos = [{} for _ in range(self.num_envs)]
        for i in done.nonzero()[0]:
            infos[i] = {"terminal_observation": info["final_obs"][i], "TimeLimit.truncated": False,
                        "correct": bool(info["correct"][i])}
        return observations, rewards.astype(np.float32), done, infos

    def env_method(self, method_name: str, *arguments, indices=None, **options) -> list:
        if method_name != "action_masks":
            raise AttributeError(f"{method_name!r} is no method of {NAME} here; there is action_masks")
        return [self.masks[i] for i in self._get_indices(indices)]

    def get_attr(self, attr_name: str, indices=None) -> list:
        value = self.env_method if attr_name == "action_masks" else getattr(self.env, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value, indices=None) -> None:
        raise AttributeError(f"{attr_name!r}: the problems share one environment, so none has attributes to set")

    def env_is_wrapped(self, wrapper_class, indices=None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def close(self) -> None:
        self.env.close()


class Exam(PeerEnv):
    """The same, with n problems of each level, level by level; what follows on a finished one does not count.

    split: of the problems, as in `generate`.
    """

    def __init__(self, n: int, levels, split: str, **options):
        level = torch.arange(len(levels)).repeat_interleave(n)
        rng = torch.Generator().manual_seed(options.get("seed", 0))
        self.problems = generate(level, levels, rng, split, trim=False)
        super().__init__(len(level), levels, **options)

    def reset(self) -> np.ndarray:
        super().reset()
        problems = self.problems.select(torch.arange(self.num_envs))  # a copy: a finished one is overwritten
        self.env.registers = Registers.start(problems)
        self.env.mask = legal_actions(self.env.registers)
        self.masks = self.env.mask.numpy().copy()
        return observation(self.env.registers).numpy()
