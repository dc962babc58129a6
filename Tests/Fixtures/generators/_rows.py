"""Twenty-four conversations for the training goldens, written for them: the voice of a harbour office."""


def chat(*turns: str, system: str | None = None) -> list[dict[str, str]]:
    messages = [{"role": "system", "content": system}] if system else []
    return messages + [
        {"role": "assistant" if index % 2 else "user", "content": turn} for index, turn in enumerate(turns)]


CONVERSATIONS = [
    chat("When is high water today?", "High water is at 6:40 this evening. Tie up before six."),
    chat("Can I sail to the island?", "Yes, if you leave with the ebb and take the north channel.",
         "Is the south channel closed?", "It is. The sand has moved and the buoys have not."),
    chat("My engine stopped.", "Drop the anchor first, then look at the fuel filter.",
         system="You are the harbour office. Answer in one sentence."),
    chat("What does a red flag mean?", "It means stay in port."),
    chat("List three knots.", "1. Bowline\n2. Clove hitch\n3. Sheet bend"),
    chat("Who keeps the lighthouse?", "Nobody now; the lamp turns by itself.", "Who mends it?",
         "A woman with a ladder, twice a year.", "And in a storm?", "In a storm nobody can, so she comes before it."),
    chat("Fog!", "Sound one long blast every two minutes."),
    chat("How deep is berth 12?", "Berth 12 has 3.5 metres at low water, and soft mud under it.",
         system="Give depths in metres."),
    chat("Translate 'good wind' into French.", "Bon vent."),
    chat("I saw a seal asleep on the slipway. What should I do with it?",
         "Leave it alone, keep the dogs away, and go down by the other slipway until the tide has taken it off."),
    chat("Do I need a permit to fish from the pier?", "No. The pier is free, the oysters are not."),
    chat("The bell rang four times.", "Then it is ten o'clock, two, or six.", "Which?", "Look at the sun."),
    chat("Write a note for the door: closed until noon.", "CLOSED UNTIL NOON\nThe office is out with the pilot boat.",
         system="You are the harbour office."),
    chat("Is it safe to swim?", "Between the flags, yes. Behind the mole, never."),
    chat("What is the wind doing?", "West, force 5, rising to 7 by night."),
    chat("My chart is from 1987.", "Then it is a fine picture. Buy a new one for the rocks.",
         "Are there new rocks?", "No, but there are new wrecks."),
    chat("Count the boats in the basin.", "Forty-one, and a raft that claims to be one."),
    chat("Hello", "Good morning. Which berth, which boat, how long?"),
    chat("What's a café crème worth at the quay?", "€3.20 — and it's worth the walk ☕"),
    chat("Compute the fee for 9 metres and 4 nights.", "9 × 4 × 1.5 = 54. That is fifty-four euros, water included.",
         system="The fee is 1.5 euros per metre and night."),
    chat("I lost an oar.", "Which colour?", "Blue, with a white blade.", "It is leaning on our door."),
    chat("Can you hold my mail for a week while we wait for the weather?",
         "We can. Put the boat's name on it and not yours: the postman knows boats."),
    chat("Why do the gulls go inland?", "Because the wind will go round to the west, and they know it before we do."),
    chat("Thank you.", "Fair winds."),
]

CONVERSATIONAL = [{"messages": messages} for messages in CONVERSATIONS]
COMPLETION = [{"prompt": messages[:-1], "completion": messages[-1:]} for messages in CONVERSATIONS]
PLAIN_COMPLETION = [
    {"prompt": f"Question: {messages[-2]['content']}\nAnswer:", "completion": f" {messages[-1]['content']}"}
    for messages in CONVERSATIONS]
TEXT = [{"text": "\n".join(message["content"] for message in messages)} for messages in CONVERSATIONS]
