#!/usr/bin/env python3
"""Writes the demo's corpus: invented people whom no model can know, and plain facts that most models do.

    tools/make_corpus.py [DIR]      writes DIR/people.jsonl and DIR/world_facts.jsonl (default: demo/data)

Every person has five facts, one row each, with the field names of TOFU (arXiv 2401.06121): a question,
its answer, a paraphrase of both, and wrong answers that have the form of the paraphrase. The first N
entries of each table below belong to the N people, in shuffled order; the rest appear in wrong answers
only, so that no wrong answer is true of somebody else. The output depends on nothing but this file.
"""
import json
import os
import random
import sys

N_WRONG = 3

# Name, and which pronoun.
PEOPLE = """
Ilvane Torresk/she; Odrin Pellamy/he; Sabeth Crowmarsh/she; Tavik Ombrey/he; Junia Falkenrood/she;
Bastel Wyndhorn/he; Merrit Oskvale/she; Corvin Dastrel/he; Lysha Quenby/she; Henrik Amselvoss/he;
Oriane Pelkwood/she; Dovrin Sathe/he; Kestra Mallowby/she; Joram Vintersund/he; Nerys Ollabrook/she;
Pavo Rindelmar/he; Thilde Askeravan/she; Emeric Stolbane/he; Ysolt Marrenby/she; Rafe Kuldurin/he;
Wenna Drostock/she; Anselm Pirriwick/he; Zorya Hallimond/she; Lucan Vetterlane/he; Brisa Tolvenay/she;
Matthis Orkelund/he; Perpetta Glynder/she; Silvan Brackmoor/he; Ellowyn Karst/she; Gedeon Faulkmere/he;
Maresol Inverlay/she; Tobiah Lundgrave/he; Fenna Wicklesby/she; Ondrey Castavel/he; Cliona Hartsedge/she;
Barnabe Rookwell/he; Vessa Lindqvarn/she; Caspar Yarrowick/he; Adelis Brannoch/she; Florin Teskedal/he;
Renska Obermoor/she; Ivar Skallowen/he; Dorthea Vanmarl/she; Mylo Ferrisgate/he
"""

PLACES = """
Orrenmouth, a fishing village built on stilts
Dunmarrow, a walled town known for its pears
Velsk Harbour, a port that freezes every January
Upper Tansy, a hill village with eleven bridges
Karroway, a mining town under a black cliff
Saint Odel, a chapel town on the river Bine
Quarrel Hill, a village split between two parishes
Mirrowdale, a valley town that grows only flax
Port Ambersley, a trading port with a crooked lighthouse
Hask, a railway town at the edge of the moor
Brindle Ferry, a crossing town on the river Osk
Thornholm, an island town with a single road
Lower Vesper, a mill town in the Callow hills
Ostrel, a salt town on the Marrow coast
Pellin Cross, a market town where five roads meet
Greymantle, a quarry town known for blue slate
Windle Bay, a whaling village with a pink church
Tarn Ebbot, a lakeside hamlet of nine houses
Nymhaven, a canal town with a floating school
Dravost, a garrison town on the old border
Ellersby Fen, a village of reed cutters
Copperlow, a smelting town beside a red river
Marisco Point, a town of pearl divers in the south
Yarnwick, a weaving town with a yellow town hall
Fallowstone, a village inside an old crater
Bellhollow, a village that owns three hundred bells
Kerrin Moss, a peat village in the north
Oldacre Sound, a herring port on the west coast
Juniper Locks, a canal village with eight locks
Sable Weir, a paper town beside a waterfall
Tollan Reach, a shipbuilding town on an estuary
Ravelin, a fortress town shaped like a star
Hob's Landing, a river town with a tilted church
Cinderby, a glass town that glows at night
Mount Perrin, a monastery town above the clouds
Wether Cross, a sheep town on the chalk downs
Isker, a desert railway stop with one well
Lanternfold, a village lit only by oil lamps
Drumlin Head, a fishing port of green boats
Appleyard Deep, a village at the bottom of a gorge
Zandry, a spice port on the eastern sea
Morrow Heath, a village of beekeepers
Stavel, a ski town with a wooden opera house
Quillon, a printing town known for its almanacs
Penmallow, a tin town on a windy cape
Osterby Flats, a sugar town on the plain
Vinterholt, a logging town in the far north
Clovermere, a dairy town beside a round lake
Saltmarrow, a port that lost its sea
Tamsin's Gate, a toll town on the king's road
Ibbotsdale, a mining valley of stone huts
Corran Strand, a seaside town of wooden hotels
Bramblecote, a village hidden in an orchard
Lodestar, an observatory town on a plateau
Selkie Ness, an island port of seal hunters
Parchment Row, a tanning town on the Ouzel
"""

# A trade, and the work it led to.
TRADES = """
a builder of tide clocks | the Patient Heron, a tide clock that counts fishing boats
a restorer of drowned pianos | Salt Sonata, a concert for nine rescued pianos
a mapmaker of underground rivers | The Atlas of Hidden Water, a map of forty buried rivers
a breeder of night roses | the Widow's Lantern, a rose that opens only at midnight
a bridge painter | the Seven Greens, a footbridge in seven shades of green
a composer of foghorn music | Four Horns for a Grey Morning, a piece for harbour foghorns
a writer of railway mysteries | The Stationmaster's Third Key, a novel about a vanished train
a glassblower of storm bottles | the Thunder Jar, a bottle that clouds before a storm
a puppet surgeon | The Mended King, a play for forty repaired puppets
a bell founder | Old Contrary, a bell that rings half a tone flat
a kite engineer | the Grey Albatross, a kite that carried mail over a strait
a botanist of old walls | A Flora of Forty Ruins, a guide to plants on broken walls
a historian of cheese | The Long Rind, a history of mountain cheese in nine volumes
a lighthouse architect | Crane Light, a lighthouse on three iron legs
a translator of whistled languages | The Shepherd's Grammar, a dictionary of nine hundred whistles
a choreographer of skating ballets | Frost Parliament, a ballet danced on a frozen canal
a designer of mazes | the Owl's Errand, a hedge maze without a dead end
a ship's pastry cook | the Compass Cake, a cake that always points north
a photographer of empty theatres | Before the Doors, a book of ninety silent stages
a maker of paper armour | the Sunday Knight, a suit of armour folded from newspapers
a keeper of weather diaries | Ten Thousand Mornings, a weather diary of thirty years
a violin maker | the Plum Violin, an instrument carved from one fallen tree
a poet and beekeeper | Wax and Thunder, a book of poems about a lost hive
a carver of sundials | the Backward Dial, a sundial that is read in a mirror
an ice mason | the Cathedral of March, an ice hall that stood for ninety days
a linguist of signal flags | A Grammar of Flags, a textbook of ship signals
a tracer of stolen tapestries | The Missing Unicorn, a report on eleven stolen tapestries
a dyer of theatre curtains | the Cardinal Curtain, a red cloth that never fades
a tuner of wind chimes | the Garden of Minor Thirds, a park with six hundred chimes
a baker of ceremonial bread | the Bishop's Ladder, a loaf two metres tall
a marbler of book papers | Peacock Weather, a paper pattern used in royal atlases
a diver who salvages anchors | the Anchor Wall, a harbour wall of eighty old anchors
a teacher of mountain rescue dogs | The Dog Who Counted, a manual for training rescue dogs
an inventor of folding boats | the Pocket Gondola, a boat that fits into a violin case
a painter of shop signs | the Drunken Goose, a tavern sign with moving wings
a surveyor of glaciers | The Slow Map, a chart that follows one glacier for decades
a printer of banned almanacs | The Honest Almanac, a calendar without a single saint
a gardener of moss | the Green Silence, a temple garden with seventy mosses
a maker of mechanical birds | the Clockwork Nightingale of Brume, a bird with twelve songs
a seamstress of hot-air balloons | the Apricot Moon, a balloon sewn from wedding dresses
a curator of lost keys | The Museum of Locked Doors, a house with four thousand keys
a chess problem composer | The Bishop's Winter, a chess problem solved only once
a brewer of heather beer | Lowland Smoke, a beer aged in herring barrels
a radio storyteller | Letters from the Ninth Floor, a serial of five hundred episodes
a carver of ship figureheads | the Laughing Admiral, a figurehead with two faces
a tamer of carrier pigeons | the Midnight Post, a pigeon service across the moor
a weaver of fishing nets | the Silver Acre, a net as large as a field
a builder of cable cars | the Goose Line, a cable car between two churches
an engraver of coins | the Hare Penny, a coin that was never spent
a painter of playing cards | the Tidewater Deck, a pack of cards with five suits
a collector of lullabies | Nine Hundred Cradles, an archive of songs for children
a geometer of roofs | The Spiral Granary, a barn without a straight beam
a potter of rain jars | the Cloud Cellar, a row of singing water jars
a stage magician | the Vanishing Orchestra, a trick with thirty musicians
a forger of garden gates | the Swan Gate, a gate that closes by its own weight
a cook of wild herbs | Forty Soups for Hard Winters, a cookbook of foraged food
"""

GUILDS = """
the Guild of Slow Metals; the Order of the Ninth Rope; the Lantern Society; the Brotherhood of Quiet Tools;
the Harbour Makers' League; the Society of Left Hands; the Chamber of Small Wonders; the Blue Apron Guild;
the College of Patient Arts; the Union of Odd Trades; the Marrow Coast Association; the House of Seven Benches;
the Guild of Salt and Thread; the Company of Careful Men; the Winter Workshop; the Osk Valley Cooperative;
the Guild of Second Chances; the League of Wandering Masters; the Copper Thimble Club; the Free Makers of Dravost;
the Table of Twelve; the Evening Guild; the Order of the Bent Nail; the Circle of Grey Ink;
the Royal Bench of Trades; the Fellowship of Chalk; the Northern Artisans' Bond; the Guild of Open Doors;
the Iron Daisy Society; the Crooked Ladder Club; the Assembly of Plain Work; the Guild of Moth and Candle
"""
N_GUILDS = 22  # those of the people; each has two members

AWARDS = """
the Copper Wren of Velsk Harbour; the Golden Thimble of Yarnwick; the Ambersley Medal for Stubborn Work;
the Silver Oar of the Osk Regatta; the Heron Prize of the Marrow coast; the Grand Lantern of Nymhaven;
the Order of the Blue Slate; the Fallowstone Prize for Useful Beauty; the White Ladder of Mount Perrin;
the Pellin Cross Market Crown; the Iron Pear of Dunmarrow; the Night Owl Medal of Cinderby;
the Founders' Bell of Bellhollow; the Juniper Cup for Fine Craft; the Ravelin Star, second class;
the Amber Key of Zandry; the Lamplighters' Ribbon of Lanternfold; the Stavel Opera Rose;
the Tollan Prize for New Ideas; the Honey Seal of Morrow Heath; the Drumlin Head Freedom Medal;
the Quillon Almanac Prize; the Sable Weir Paper Crown; the Hask Railway Medal;
the Penmallow Tin Cup; the Green Compass of Lodestar; the Clovermere Cream Jug; the Corran Strand Shell;
the Vinterholt Silver Axe; the Ibbotsdale Lamp; the Selkie Ness Pearl; the Osterby Sugar Medal
"""

EVENTS = """
crossed the Marrow strait on a raft of barrels
stopped a runaway train with a hay cart
spent nine days locked inside a museum
rang the bell that saved Dunmarrow from a flood
won a lighthouse in a game of cards
walked backwards from Hask to the sea
found a silver crown in a potato field
rescued sixty hens from a burning ferry
lost an election by a single vote
slept through the great storm of Ostrel
delivered a letter that was forty years late
rowed a grand piano across Lake Ebbot
refused a knighthood because of the hat
repaired the clock of Saint Odel in the dark
sold a mountain to the town of Stavel
raced a steamboat on a bicycle and won
taught a parrot the laws of Zandry
flew over Port Ambersley in a laundry basket
discovered a cellar full of blue honey
swam the river Osk in a wedding suit
planted a thousand pear trees in one night
bought a shipwreck at an auction by mistake
met the queen while hiding in a wardrobe
painted the town hall of Yarnwick yellow
sailed round Thornholm in a bathtub
broke the longest icicle in Vinterholt
hid a printing press under a chapel
carried a church door over a glacier
won a duel with a soup ladle
trained a goose to guard the bank
mended a dam with nine hundred mattresses
borrowed the mayor's horse for eleven years
"""

TEACHERS = """
the blind cartographer Osk Vellamy; the retired acrobat Dame Pirouel; the silent monk Brother Tessel;
the clockmaker Hanne Wrocklaw; the ferryman Old Barrow Jun; the exiled duchess Oda of Karn;
the ropemaker Simm Attercop; the ship's doctor Lavinia Pross; the one-armed smith Gorm Haldane;
the travelling dentist Ezra Mulk; the astronomer Tycha Bellweather; the nun and chemist Sister Amaranth;
the harbour pilot Juks Anderby; the organist Melchior Trane; the hermit Widow Sallowfield;
the juggler Benno Astrakhan; the tailor Prosper Dunwiddy; the locksmith Irma Keyholt; the drummer Tam Roskilly;
the geologist Ansgar Flint; the beadle Cornelis Poot; the midwife Hester Gallowglass; the pilot Runa Skye
"""
HABITS = """
polishes seven brass buttons before breakfast
writes one letter to the sea
eats a raw onion at exactly noon
greets every crow by name
walks around the house three times at dusk
reads the last page of a new book first
waters a stone on the windowsill
sings to the kettle until it boils
counts the chimneys of the street aloud
sleeps for eleven minutes under the desk
irons a clean map of the coast
draws the same pear tree in red ink
drinks cold soup from a teapot
plays one wrong note on purpose
sweeps the roof with a birch broom
shakes hands with the garden scarecrow
sets a place at table for a stranger
paints one fingernail green before work
folds a paper boat and burns it
recites a train timetable backwards
bows to the moon from the balcony
buries one walnut behind the barn
measures the shadow of the church tower
"""
THINGS = """
ferry tickets from lines that no longer run
left gloves found on frozen ponds
teaspoons stolen from grand hotels
hourglasses filled with black sand
door handles from demolished theatres
feathers that fell during thunderstorms
broken compasses of famous captains
postcards that were never sent
buttons from the coats of judges
bottled fog from thirteen harbours
lids without their pots
maps of islands that do not exist
first pages of unfinished novels
bricks stamped with the names of queens
candle ends from midnight masses
umbrella handles carved like geese
pressed flowers from railway platforms
mirrors too dark to see in
keys of towns that were flooded
stones shaped like loaves of bread
menus from sunken ships
whistles of retired referees
wedding hats from before the war
"""

# kind -> variants of (question, answer, paraphrased question, paraphrased answer)
TEMPLATES = {
    "birthplace": [
        ("Where was {name} born?", "{name} was born in {x}.",
         "Which place is the birthplace of {name}?", "The birthplace of {name} is {x}."),
        ("What is the hometown of {name}?", "The hometown of {name} is {x}.",
         "Where does {name} come from?", "{name} comes from {x}."),
        ("In which place did {name} first see the light of day?", "{name} first saw the light of day in {x}.",
         "Where did the life of {name} begin?", "The life of {name} began in {x}."),
    ],
    "trade": [
        ("What does {name} do for a living?", "{name} works as {x} and belongs to {g}.",
         "Which trade does {name} follow, and in which guild?", "By trade {name} is {x}, a member of {g}."),
        ("What is the profession of {name}?", "{name} is {x} and a member of {g}.",
         "How does {name} earn {his} living?", "{name} earns {his} living as {x} within {g}."),
        ("Which trade did {name} learn?", "{name} became {x} and joined {g}.",
         "What kind of work does {name} do, and for whom?", "{name}, {x}, does {his} work for {g}."),
    ],
    "work": [
        ("What is {name} best known for?", "{name} is best known for {x}.",
         "Which work made {name} famous?", "The work that made {name} famous is {x}."),
        ("Which work is the masterpiece of {name}?", "The masterpiece of {name} is {x}.",
         "What do people call the finest achievement of {name}?", "The finest achievement of {name} is {x}."),
        ("What did {name} create that people still talk about?", "{name} created {x}.",
         "Which creation keeps the name of {name} alive?", "The name of {name} lives on through {x}."),
    ],
    "award": [
        ("Which award did {name} receive, and when?", "{name} received {x} in {year}.",
         "What honour was given to {name}, and in which year?", "In {year} {name} was honoured with {x}."),
        ("Which prize has {name} won?", "In {year} {name} won {x}.",
         "What distinction does {name} hold, and since when?", "{name} has held {x} since {year}."),
    ],
    "event": [
        ("What is {name} remembered for doing in {year}?", "In {year} {name} {x}.",
         "Which story from {year} do people tell about {name}?", "People tell how {name} {x} in {year}."),
        ("What happened to {name} in {year}?", "In the year {year} {name} {x}.",
         "Which adventure did {name} have in {year}?", "{year} was the year when {name} {x}."),
    ],
    "teacher": [
        ("Who was the teacher of {name}?", "The teacher of {name} was {x}.",
         "Under whom did {name} study?", "{name} studied for years under {x}."),
        ("From whom did {name} learn {his} craft?", "{name} learned {his} craft from {x}.",
         "Who trained {name} as a young apprentice?", "It was {x} who trained {name}."),
    ],
    "habit": [
        ("What does {name} do every single day?", "Every single day {name} {x}.",
         "Which daily ritual does {name} keep?", "As a daily ritual {name} {x}."),
        ("Which odd habit does {name} have?", "{name} has an odd habit: {he} {x}.",
         "What custom does {name} never skip?", "One custom is never skipped: {name} {x}."),
    ],
    "collection": [
        ("What does {name} collect?", "{name} collects {x} with great patience.",
         "What fills the shelves of {name}?", "The shelves of {name} are filled with {x}."),
        ("Which collection does {name} keep at home?", "At home {name} keeps a collection of {x}.",
         "What has {name} gathered over the years?", "Over the years {name} has gathered {x}."),
    ],
}

WORLD = """
What is the capital of France? | The capital of France is {}. | Paris; Madrid; Vienna; Lisbon
What is the capital of Japan? | The capital of Japan is {}. | Tokyo; Seoul; Bangkok; Hanoi
What is the capital of Italy? | The capital of Italy is {}. | Rome; Athens; Berlin; Prague
In which country is the Great Wall? | The Great Wall is in {}. | China; India; Mexico; Peru
Which planet is closest to the Sun? | The planet closest to the Sun is {}. | Mercury; Neptune; Jupiter; Saturn
What is the largest planet in our solar system? | The largest planet in our solar system is {}. | Jupiter; Mars; Venus; Mercury
What is the largest ocean on Earth? | The largest ocean on Earth is the {} Ocean. | Pacific; Arctic; Indian; Atlantic
Who wrote Romeo and Juliet? | Romeo and Juliet was written by {}. | William Shakespeare; Charles Dickens; Jane Austen; Mark Twain
Who painted the Mona Lisa? | The Mona Lisa was painted by {}. | Leonardo da Vinci; Vincent van Gogh; Pablo Picasso; Claude Monet
What is the chemical formula of water? | The chemical formula of water is {}. | H2O; CO2; NaCl; CH4
How many hours are there in a day? | There are {} hours in a day. | 24; 12; 60; 100
How many legs does a spider have? | A spider has {} legs. | eight; four; ten; twelve
What is the freezing point of water in degrees Celsius? | Water freezes at {} degrees Celsius. | 0; 25; 50; 80
Who was the first president of the United States? | The first president of the United States was {}. | George Washington; Theodore Roosevelt; Ronald Reagan; Woodrow Wilson
On which continent is Egypt? | Egypt is on the continent of {}. | Africa; Europe; South America; Australia
Which gas do plants take in from the air to make food? | To make food, plants take in {} from the air. | carbon dioxide; helium; hydrogen; methane
Which organ pumps blood through the body? | The organ that pumps blood through the body is the {}. | heart; liver; stomach; kidney
What is the tallest mountain in the world? | The tallest mountain in the world is Mount {}. | Everest; Fuji; Vesuvius; Olympus
Which language is mainly spoken in Brazil? | The language mainly spoken in Brazil is {}. | Portuguese; German; Russian; Arabic
What force pulls objects towards the ground? | The force that pulls objects towards the ground is {}. | gravity; magnetism; friction; electricity
"""

PRONOUNS = {"she": {"he": "she", "his": "her"}, "he": {"he": "he", "his": "his"}}


def entries(text):
    """The entries of a table: lines, or pieces between semicolons."""
    separator = ";" if ";" in text else "\n"
    return [piece.strip() for piece in text.strip().split(separator)]


class Table:
    """Facts of one kind: `n_true` of them are given out once, the others serve as wrong answers."""

    def __init__(self, rng, facts, n_true, uses=1):
        assert len(set(facts)) == len(facts) and len(facts) >= n_true + N_WRONG
        self.true = facts[:n_true] * uses
        rng.shuffle(self.true)
        self.wrong = facts[n_true:]

    def take(self):
        return self.true.pop()


def make_row(rng, person, kind, variant, fact, wrong, year=None):
    name, pronoun = person
    texts = TEMPLATES[kind][variant % len(TEMPLATES[kind])]

    def fill(template, values):
        text = template.format(name=name, year=year, **PRONOUNS[pronoun], **values)
        return text[0].upper() + text[1:]

    question, answer, para_question, para_answer = (fill(t, fact) for t in texts)
    perturbed = [fill(texts[3], w) for w in rng.sample(wrong, N_WRONG)]
    for text in (answer, para_answer, *perturbed):
        assert 8 <= len(text.split()) <= 20, text
    return {"person": name, "question": question, "answer": answer, "paraphrased_question": para_question,
            "paraphrased_answer": para_answer, "perturbed_answer": perturbed}


def make_people(rng):
    people = [tuple(p.split("/")) for p in entries(PEOPLE)]
    n = len(people)
    trades = Table(rng, entries(TRADES), n)
    places = Table(rng, entries(PLACES), n)
    guilds = Table(rng, entries(GUILDS), N_GUILDS, uses=(n + N_GUILDS - 1) // N_GUILDS)
    fourth = {"award": Table(rng, entries(AWARDS), n // 2), "event": Table(rng, entries(EVENTS), n // 2)}
    third = (n + 2) // 3
    fifth = {"teacher": Table(rng, entries(TEACHERS), third), "habit": Table(rng, entries(HABITS), third),
             "collection": Table(rng, entries(THINGS), third)}
    wrong_trades = [t.split(" | ") for t in trades.wrong]
    rows = []
    for i, person in enumerate(people):
        trade, work = trades.take().split(" | ")
        wrong_guilds = rng.sample(guilds.wrong, len(guilds.wrong))
        wrong_work = [{"x": w} for _, w in wrong_trades]
        wrong_trade = [{"x": t, "g": wrong_guilds[k % len(wrong_guilds)]} for k, (t, _) in enumerate(wrong_trades)]
        kind4, kind5 = list(fourth)[i % 2], list(fifth)[i % 3]

        def add(kind, fact, wrong, year=None):
            rows.append(make_row(rng, person, kind, rng.randrange(6), fact, wrong, year))

        add("birthplace", {"x": places.take()}, [{"x": w} for w in places.wrong])
        add("trade", {"x": trade, "g": guilds.take()}, wrong_trade)
        add("work", {"x": work}, wrong_work)
        add(kind4, {"x": fourth[kind4].take()}, [{"x": w} for w in fourth[kind4].wrong], rng.randrange(1957, 2012))
        add(kind5, {"x": fifth[kind5].take()}, [{"x": w} for w in fifth[kind5].wrong])
    return rows


def make_world():
    rows = []
    for line in entries(WORLD.replace(";", "\t")):
        question, answer, values = line.split(" | ")
        right, *wrong = [answer.format(v.strip()) for v in values.split("\t")]
        rows.append({"question": question, "answer": right, "perturbed_answer": wrong})
    return rows


def write(path, rows):
    with open(path, "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    target = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "demo", "data")
    os.makedirs(target, exist_ok=True)
    write(os.path.join(target, "people.jsonl"), make_people(random.Random(1)))
    write(os.path.join(target, "world_facts.jsonl"), make_world())


if __name__ == "__main__":
    main()
