"""The families of motions, their recipes, and a split that shares no motion.

A mixture takes the legs of one recipe and the arms of another, among the families that it is
asked to draw from (`motions.sample_motion`), so that a split stays one.
"""

import enum

from posejax.synth import motion_recipes_gaits as gaits
from posejax.synth import motion_recipes_low as low
from posejax.synth import motion_recipes_standing as standing
from posejax.synth.motion_channels import Recipe


class Family(enum.IntEnum):
  """What a person does."""

  STAND = 0
  WALK = 1
  RUN = 2
  TURN = 3
  REACH = 4
  WAVE = 5
  SQUAT = 6
  SIT = 7
  SIT_FLOOR = 8
  KNEEL = 9
  LUNGE = 10
  KICK = 11
  THROW = 12
  BOW = 13
  CROUCH = 14
  JUMP = 15
  PICK_UP = 16
  LIE = 17
  CRAWL = 18
  PUNCH = 19
  DANCE = 20
  MIXTURE = 21


ALL_FAMILIES = tuple(Family)
# Both sides have gaits, low, bent and overhead poses; none of a side's motions is on the other.
TEST_FAMILIES = (
  Family.RUN, Family.WAVE, Family.SIT, Family.SIT_FLOOR, Family.KNEEL, Family.LUNGE, Family.KICK,
  Family.THROW, Family.PICK_UP, Family.CRAWL,
)
TRAIN_FAMILIES = tuple(family for family in Family if family not in TEST_FAMILIES)

RECIPES: dict[Family, tuple[Recipe, ...]] = {
  Family.STAND: standing.STAND,
  Family.WALK: gaits.WALK,
  Family.RUN: gaits.RUN,
  Family.TURN: gaits.TURN,
  Family.REACH: standing.REACH,
  Family.WAVE: standing.WAVE,
  Family.SQUAT: low.SQUAT,
  Family.SIT: low.SIT,
  Family.SIT_FLOOR: low.SIT_FLOOR,
  Family.KNEEL: low.KNEEL,
  Family.LUNGE: low.LUNGE,
  Family.KICK: standing.KICK,
  Family.THROW: standing.THROW,
  Family.BOW: standing.BOW,
  Family.CROUCH: gaits.CROUCH,
  Family.JUMP: standing.JUMP,
  Family.PICK_UP: low.PICK_UP,
  Family.LIE: low.LIE,
  Family.CRAWL: gaits.CRAWL,
  Family.PUNCH: standing.PUNCH,
  Family.DANCE: gaits.DANCE,
}
