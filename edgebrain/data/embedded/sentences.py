"""English sentences for the embedded corpus, from a small grammar.

Frames and words were written for it, with every English phoneme among them;
no published sentence list is used.
"""

import re

import numpy as np

FRAMES = (
    "The {mood} {person} {carried} the {thing} {where}.",
    "{name} asked whether the train from {city} would leave {when}.",
    "We shared {food} and {food} while {outside}.",
    "I have never seen so many {adj} {things} {where}.",
    "Yesterday {name} travelled to {city} with {number} {things}.",
    "Could you tell me {when} how much the {adj} {thing} costs?",
    "Although {outside}, {name} {carried} the {thing} {where}.",
    "Nobody in {city} knew why the {person} {carried} the {thing}.",
    "There were {number} {things} {where}, and a {thing} as well.",
    "What a {adj} {thing}, said the {mood} {person} {when}.",
    "Turn left {where}, then look for a {adj} {thing} or {food}.",
)
_WORDS = {
    "mood": "quiet cheerful young gentle curious honest famous nervous shy "
    "generous thirsty wise",
    "person": "farmer engineer lawyer teacher baker chemist shepherd judge "
    "journalist plumber neighbour author musician watchmaker nurse",
    "carried": "carried hid painted examined dropped polished borrowed pushed "
    "weighed photographed repaired found unwrapped buried washed threw",
    "thing": "basket telescope leather_jacket yellow_piano letter_box compass "
    "treasure_map bicycle garden_chair microphone kettle birthday_cake mirror "
    "blanket suitcase wedding_ring jar_of_honey wheelbarrow video_camera",
    "things": "oranges butterflies bridges clocks feathers chess_players "
    "lighthouses mushrooms cushions foreign_visitors yachts cherry_trees "
    "rabbits wagons paintings keyboards thunderclouds horses jugs loaves",
    "where": "behind_the_old_mill near_the_harbour under_the_kitchen_table "
    "on_the_northern_shore in_the_village_hall across_the_river by_the_zoo "
    "outside_the_theatre at_the_edge_of_the_forest beside_the_church "
    "on_top_of_the_fridge along_the_railway beneath_the_stairs "
    "in_a_quiet_valley above_the_garage between_two_tall_houses",
    "name": "Julia George Yvonne Charlotte Hugh Zoe Matthew Sheila Vincent "
    "Doctor_Thornton Barbara Joyce Captain_Wood Ursula Keith Theo Fiona Ruth",
    "city": "Edinburgh Kingston Chicago Vancouver Southampton Geneva Jersey "
    "Yorkshire Plymouth Zurich Birmingham Houston Barbados Cork Oxford Texas",
    "when": "before_noon on_Thursday in_the_evening by_half_past_eight "
    "next_February after_the_holidays at_dawn during_the_winter tomorrow "
    "within_a_fortnight on_the_third_of_July later_tonight early_in_August",
    "food": "soup boiled_potatoes fresh_bread ginger_biscuits cold_chicken "
    "mushroom_pie yoghurt roast_beef cherry_jam scrambled_eggs goat_cheese "
    "vegetable_curry porridge noodles figs",
    "outside": "the_rain_beat_on_the_roof it_snowed the_wind_was_howling "
    "children_played_in_the_yard the_fog_grew_thicker the_sun_went_down "
    "thunder_rolled_in_the_distance the_whole_street_was_flooded "
    "the_clock_struck_five birds_sang_in_the_hedge the_lights_went_out",
    "adj": "golden broken large shiny fragile peculiar dull fashionable muddy "
    "purple cheap valuable dangerous beautiful crooked Scottish foreign heavy",
    "number": "three seven eleven thirteen fifteen twenty twenty_six forty "
    "fifty_four sixty ninety_nine a_hundred a_thousand eighteen two",
}


def make_sentences(count: int, seed: int) -> list[str]:
    """Return different sentences of some 2 to 6 seconds; by seed the same."""
    rng = np.random.default_rng([seed, 1])

    def choose(match: re.Match) -> str:
        """Return one of the words that a place of a frame can have."""
        words = _WORDS[match[1]].split()
        return words[rng.integers(len(words))].replace("_", " ")

    sentences: dict[str, None] = {}
    while len(sentences) < count:
        frame = FRAMES[rng.integers(len(FRAMES))]
        sentences[re.sub(r"\{(\w+)\}", choose, frame)] = None
    return list(sentences)
