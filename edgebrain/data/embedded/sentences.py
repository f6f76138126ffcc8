"""English sentences for the embedded corpus, all written for it.

Some are written out whole, chosen to bring in every English phoneme; the
rest come from a small grammar of everyday sentences. No published sentence
list is used.
"""

import re

from edgebrain.errors import UserError
import numpy as np

# No two sentences of a set share more than this part of their words.
MAX_OVERLAP = 0.5

WRITTEN = (
    "Both thieves breathed softly under the thick leather cloth.",
    "She usually measures the garage before choosing a beige carpet.",
    "A young voice on the radio enjoyed the noisy toy parade.",
    "The judge changed his mind about the large orange package.",
    "Few pure rural roads are as quiet as yours at four o'clock.",
    "We should have pushed the wooden hook a good foot further.",
    "Eight brave sailors made their way to the rainy bay by May.",
    "Nine hungry singers rang the long evening bell in spring.",
    "The huge yellow onion grew beyond the new garden wall.",
    "Whales were swimming westward while we waited on the quay.",
    "Fresh fish should not be washed with shampoo, she whispered.",
    "The chef cheerfully reached for a cheap kitchen chair.",
    "How now, asked the owl, when the town clock sounds an hour?",
    "Judge by the colour, not by the sugar, said the cook.",
    "That smooth breeze bothers neither my father nor my brother.",
    "Zebras and lazy lizards gaze at the hazy desert zone.",
    "Poor tourists endure the tour during the pouring shower.",
    "Keep the big black bag and put the tiny key back in it.",
    "The vivid violet van drove over seven gravel hills.",
    "Cold smoke rolled slowly below the old oak boat.",
    "Her first nurse heard the early bird stir in the birch.",
    "The calm palm tree casts a dark shade on the far yard.",
    "Six thin sisters sipped milk in the little mill kitchen.",
    "Pat sat back and clapped as the last lamb ran past.",
    "Please leave these three green peas beneath the sheet.",
    "Hot coffee dropped off the top of the copper pot.",
    "Just enough rough stuff was stuck under the trunk.",
    "The moon threw a blue gloom through the school room.",
    "Ted said ten men went to bed after ten heavy breakfasts.",
    "An audible pause caught all the tall hawks before dawn.",
    "Twelve months of strengths and sixths make clumsy clusters.",
    "Splendid springs and straight streams crossed the scrubland.",
    "Our hour of power came down to flour, towels and a shower.",
    "Here and there a rare deer appears near the clear pier.",
    "Oil the coin box, and avoid boiling the royal soil.",
    "Why might five wild tigers try to hide at night?",
)

FRAMES = (
    "The {mood} {person} {carried} the {thing} {where}.",
    "{name} asked whether the {vehicle} from {city} would {come} {when}.",
    "Please {request} before you {leave}.",
    "We {ate} {food} and {food} while {outside}.",
    "Could you tell me {whether} {when}?",
    "I have never seen so many {adj} {things} {where}.",
    "{when_c}, my {relative} {went} to {city} with {number} {things}.",
    "It takes about {number} minutes to {task} if {condition}.",
    "My {relative} always {habit}, but {contrast}.",
    "According to the {source}, {news}.",
    "Although {outside}, {name} {carried} the {thing} {where}.",
    "Turn {side} at the {landmark}, then look for a {adj} {landmark}.",
    "Nobody in {city} knew why the {person} had {done} the {thing}.",
    "Is it true that {name} paid {number} pounds for a {adj} {thing}?",
    "If {condition}, we could {task} and still {leave} {when}.",
    "There were {number} {things} {where}, and a {thing} as well.",
    "{name} and the {person} {went} to {city} because {outside}.",
    "What a {adj} {thing}, said the {person}, and {carried} it {where}.",
    "Remember to {request}, or the {vehicle} will not {come} {when}.",
    "When {outside}, the {adj} {things} {where} look rather {adj}.",
)

_WORDS = {
    "adj": "golden|broken|enormous|large|old|shiny|fragile|peculiar|dull|"
    "fashionable|yellow|useful|muddy|curious|purple|cheap|valuable|little|"
    "dangerous|beautiful|new|ugly|Scottish|foreign|heavy|remarkable|white|"
    "bright|thin|charming|rare|odd",
    "mood": "quiet|cheerful|old|young|gentle|fashionable|curious|honest|"
    "tired|Scottish|famous|nervous|patient|shy|generous|thirsty|busy|wise",
    "person": "farmer|engineer|lawyer|violin teacher|police officer|baker|"
    "goalkeeper|chemist|shepherd|journalist|judge|photographer|plumber|"
    "neighbour|bus driver|author|musician|watchmaker|gardener|nurse",
    "carried": "carried|hid|painted|examined|dropped|polished|borrowed|"
    "pushed|weighed|noticed|photographed|left|repaired|found|measured|"
    "unwrapped|recognised|buried|washed|threw",
    "done": "sold|hidden|thrown away|refused|returned|broken|repainted|"
    "forgotten|swapped|chosen|damaged|copied|praised|divided",
    "thing": "basket|telescope|sewing machine|leather jacket|umbrella|"
    "piano|letter box|treasure map|bicycle|garden chair|microphone|kettle|"
    "birthday cake|engine|blanket|mirror|suitcase|wedding ring|compass|"
    "thermometer|jar of honey|wheelbarrow|drawing|video camera",
    "things": "oranges|butterflies|bridges|clocks|feathers|chess players|"
    "lighthouses|mushrooms|television sets|cushions|foreign visitors|"
    "yachts|cherry trees|rabbits|wagons|paintings|bottles|keyboards|"
    "thunderclouds|horses|envelopes|jugs|loaves",
    "where": "behind the old mill|near the harbour|under the kitchen table|"
    "on the northern shore|in the village hall|across the river|"
    "outside the theatre|at the edge of the forest|beside the church|"
    "on top of the fridge|along the railway|in the middle of the square|"
    "between two tall buildings|at the back of the shop|by the fountain|"
    "beneath the stairs|in a quiet valley|above the garage",
    "name": "Julia|George|Yvonne|Charlotte|Hugh|Zoe|Matthew|Sheila|Vincent|"
    "Doctor Thornton|Missus Hughes|Barbara|Joyce|Captain Wood|Ursula|Keith|"
    "Old Mister Page|Theo|Naomi|Douglas|Fiona|Wendy|Ruth|Oscar",
    "vehicle": "train|night bus|ferry|delivery van|last tram|school coach|"
    "fishing boat|morning flight|ambulance|taxi",
    "city": "Edinburgh|Kingston|Chicago|Vancouver|Southampton|Geneva|Jersey|"
    "Yorkshire|Plymouth|Philadelphia|Zurich|Birmingham|Houston|Barbados|"
    "Washington|Cork|Oxford|Melbourne|Newfoundland|Texas",
    "come": "arrive|turn up|be cancelled|get through|leave|be on time|"
    "reach us|wait for him|stop here",
    "when": "before noon|on Thursday|in the evening|by half past eight|"
    "next February|after the holidays|at dawn|during the winter|tomorrow|"
    "within a fortnight|on the third of July|as usual|this weekend|"
    "later tonight|early in August",
    "when_c": "Yesterday|Last autumn|Every other Sunday|A year ago|"
    "On her birthday|One foggy morning|Just after the storm|In nineteen "
    "eighty five|Three weeks earlier|Last Wednesday",
    "request": "close both windows|switch off the heating|feed the goldfish|"
    "sign the form|check the oven|write down the address|lock the shed|"
    "bring in the washing|charge your phone|return the books|"
    "ring the office|water the roses|wake your sister|thank the host",
    "leave": "leave|go on holiday|catch the bus|fall asleep|start the car|"
    "go out|call me back|head north|join the others|pay the bill",
    "ate": "ate|ordered|shared|cooked|were served|tasted|made|bought",
    "food": "soup|boiled potatoes|fresh bread|ginger biscuits|cold chicken|"
    "mushroom pie|yoghurt|roast beef|cherry jam|scrambled eggs|fish|"
    "goat cheese|vegetable curry|apple juice|porridge|salad|noodles|figs",
    "outside": "the rain beat on the roof|it snowed outside|"
    "the wind was howling|children played in the yard|the fog grew thicker|"
    "a band was rehearsing|the sun went down|thunder rolled in the distance|"
    "the others were asleep|the whole street was flooded|"
    "the clock struck five|birds sang in the hedge|the lights went out",
    "whether": "where the museum is|how much this costs|who will be here|"
    "which road is open|why the shop was shut|what the weather will do|"
    "whose coat this was|how many people are coming|if the lift works|"
    "when the doctor is in|who answered the door|how far they travelled",
    "relative": "uncle|younger brother|grandmother|cousin|stepfather|aunt|"
    "nephew|eldest daughter|mother in law|twin sister",
    "went": "travelled|drove|walked|went back|moved|flew|returned|cycled",
    "number": "three|seven|eleven|thirteen|fifteen|twenty|twenty six|forty|"
    "fifty four|sixty|ninety nine|a hundred|a thousand|eighteen|eighty|two",
    "task": "finish the puzzle|cross the bay|peel the vegetables|"
    "change a tyre|climb the tower|assemble the shelf|read the report|"
    "reach the village|bake a loaf|fill the bath|learn the song|"
    "wash the car|download the file|clear the path|walk to the station",
    "condition": "nothing goes wrong|the path is dry|you know the trick|"
    "everyone helps|the weather stays fine|the traffic is light|"
    "they choose the right tools|there is enough power|we hurry|"
    "you follow the instructions|the ice is thick|somebody shows us how",
    "habit": "sings in the shower|gets up before six|argues about football|"
    "buys too much cheese|reads two newspapers|forgets his glasses|"
    "laughs at bad jokes|plays the trumpet|walks the dog|grows tomatoes|"
    "drinks strong coffee|mends old radios|wears odd socks",
    "contrast": "never on Sundays|nobody seems to mind|today was different|"
    "that may change soon|only in good company|we are used to it|"
    "it does no harm|the neighbours complain|this year he gave up|"
    "the doctor advises against it|not without a reason",
    "source": "radio|local paper|weather service|guide book|latest survey|"
    "minister|timetable|train company|university|head teacher|museum",
    "news": "the bridge will be closed for repairs|prices rose by four "
    "percent|a storm is moving in from the west|most people sleep too "
    "little|the exhibition opens next week|wages have hardly changed|"
    "the last bus leaves at ten|fewer students choose physics|"
    "the water is safe to drink|the river will rise again|"
    "two thirds of the votes have been counted|the road is icy",
    "side": "left|right|sharp left|sharp right|left again|right again",
    "landmark": "fire station|post office|petrol pump|library|stone arch|"
    "second roundabout|chapel|hospital|bakery|blue gate|statue|zoo|"
    "swimming pool|car park|jewellery shop|court house|football ground",
}
WORDS = {slot: words.split("|") for slot, words in _WORDS.items()}


def _tokens(sentence: str) -> frozenset[str]:
    """Return the set of lower-case words of a sentence."""
    return frozenset(re.findall(r"[a-z']+", sentence.lower()))


def _expand(frame: str, rng: np.random.Generator) -> str:
    """Fill the slots of a frame; a slot that comes twice gets two words."""
    used: set[str] = set()

    def fill(match: re.Match) -> str:
        words = [w for w in WORDS[match[1]] if w not in used]
        word = words[rng.integers(len(words))]
        used.add(word)
        return word

    text = re.sub(r"\{(\w+)\}", fill, frame)
    # By sound: an umbrella, a useful thing.
    return re.sub(r"\b([Aa]) (?=[aeioAEIO]|u(?!se))", r"\1n ", text)


def make_sentences(count: int, seed: int) -> list[str]:
    """Return distinct sentences of about 2 to 6 seconds when spoken.

    Arguments
    ---------
    count : int
        How many.
    seed : int
        The same seed gives the same sentences in the same order; a longer
        list begins with the shorter one.

    Returns
    -------
    list of str
        No two of them share more than half of their words (Jaccard index
        of their word sets at most ``MAX_OVERLAP``).

    Raises
    ------
    UserError
        When the grammar cannot give that many.
    """
    rng = np.random.default_rng([seed, 1])
    written = list(WRITTEN)
    sentences: list[str] = []
    seen: list[frozenset[str]] = []
    refused = 0
    while len(sentences) < count:
        # One in six is written out, so that every split has some.
        if len(sentences) % 6 == 0 and written:
            text = written.pop(rng.integers(len(written)))
        else:
            text = _expand(FRAMES[rng.integers(len(FRAMES))], rng)
        words = _tokens(text)
        if any(
            len(words & other) > MAX_OVERLAP * len(words | other)
            for other in seen
        ):
            refused += 1
            if refused > 1000 + 20 * count:
                raise UserError(
                    f"the sentence grammar gives no {count} distinct "
                    f"sentences (it stopped at {len(sentences)}); ask for "
                    "fewer utterances"
                )
            continue
        sentences.append(text)
        seen.append(words)
    return sentences
