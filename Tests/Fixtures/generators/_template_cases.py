"""The conversations, expressions and statements that `templates.py` renders."""

TOOLS = [
    {"type": "function", "function": {
        "name": "get_tide", "description": "The tide at a place.",
        "parameters": {"type": "object", "properties": {
            "place": {"type": "string", "description": "Name of the place, e.g. \"Brest\"", "enum": ["Brest", "Kiel"]},
            "hours": {"type": "integer", "description": "How far ahead"},
            "detail": {"type": "object", "properties": {"units": {"type": "string"}, "heights": {
                "type": "array", "items": {"type": "number"}}}, "required": ["units"]}},
            "required": ["place"]}}},
    {"type": "function", "function": {
        "name": "ring_bell", "description": "Rings the bell & says <done>.",
        "parameters": {"type": "object", "properties": {"times": {"type": ["integer", "null"], "nullable": True}}},
        "return": {"type": "string"}}},
]


def user(content, **more):
    return {"role": "user", "content": content, **more}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def system(content):
    return {"role": "system", "content": content}


def call(name, arguments, identifier="call00001"):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


TIDE = call("get_tide", {"place": "Brest", "hours": 3, "detail": {"units": "m", "heights": [1.5, 2.0]}, "exact": True})

CONVERSATIONS = [
    {"name": "single", "messages": [user("Is it high tide?")]},
    {"name": "exchange", "messages": [user("Is it high tide?"), assistant("Not before noon.")]},
    {"name": "turns", "messages": [
        user("Hello"), assistant("Good morning."), user("Who keeps the lamp?"), assistant("I do.\n\nEvery night."),
        user("And by day?"), assistant("Nobody.")]},
    {"name": "system", "messages": [
        system("You are a lighthouse keeper."), user("Hello"), assistant("Good morning."), user("Fog?"),
        assistant("Thick fog.")]},
    {"name": "system-only-user", "messages": [system("Answer in one word."), user("Fog?")]},
    {"name": "space", "messages": [user("  padded \n\n"), assistant("\n padded answer \t\n")]},
    {"name": "unicode", "messages": [
        user("Où est le phare ? 灯台はどこ？ 👩‍🔬"), assistant("Là-bas, é vs e\u0301 — あそこ 🏳️‍🌈.\u00a0"),
        user("שלום \u200f نعم"), assistant("<b>\"quoted\" & 'marked'</b>\\n")]},
    {"name": "thinking-text", "messages": [
        user("2+2?"), assistant("<think>\nTwo and two.\n</think>\n\nFour."), user("3+3?"),
        assistant("<think>Three and three.</think>Six.")]},
    {"name": "reasoning", "messages": [
        user("2+2?"), assistant("Four.", reasoning_content="Two and two."), user("3+3?"),
        assistant("Six.", reasoning_content="Three and three.")]},
    {"name": "tools-offered", "messages": [system("Use the tools."), user("Tide?"), assistant("High.")], "tools": TOOLS},
    {"name": "tool-call", "tools": TOOLS, "messages": [
        user("Tide at Brest?"), assistant("", tool_calls=[TIDE]),
        {"role": "tool", "name": "get_tide", "tool_call_id": "call00001", "content": "{\"height\": 4.2}"},
        assistant("4.2 metres.")]},
    {"name": "tool-call-text", "tools": TOOLS, "messages": [
        system("Use the tools."), user("Tide at Brest?"),
        assistant("Let me look.", reasoning_content="A call is needed.", tool_calls=[TIDE]),
        {"role": "tool", "name": "get_tide", "tool_call_id": "call00001", "content": "4.2"},
        assistant("It is 4.2 metres."), user("Thanks"), assistant("Welcome.")]},
    {"name": "two-calls", "tools": TOOLS, "messages": [
        user("Tide, and ring."),
        assistant("", tool_calls=[TIDE, call("ring_bell", {"times": None}, "call00002")]),
        {"role": "tool", "name": "get_tide", "tool_call_id": "call00001", "content": "4.2"},
        {"role": "tool", "name": "ring_bell", "tool_call_id": "call00002", "content": "done"},
        assistant("Done.")]},
    {"name": "call-without-content", "tools": TOOLS, "messages": [
        user("Tide?"), {"role": "assistant", "content": None, "tool_calls": [TIDE]},
        {"role": "tool", "name": "get_tide", "tool_call_id": "call00001", "content": "4.2"}, assistant("High.")]},
    {"name": "call-as-text", "messages": [
        user("Tide?"), {"role": "assistant", "content": None, "tool_calls": [call("get_tide", "{\"place\": \"Kiel\"}")]},
        {"role": "tool", "name": "get_tide", "tool_call_id": "call00001", "content": "0.1"}, assistant("Low.")]},
    {"name": "parts", "messages": [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Three."}]}]},
    {"name": "parts-image", "messages": [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A ship."}]},
        {"role": "user", "content": [{"type": "text", "text": "Sure?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]}]},
    {"name": "no-thinking", "variables": {"enable_thinking": False}, "messages": [user("Hi"), assistant("Hello.")]},
    {"name": "preserve-thinking", "variables": {
        "enable_thinking": True, "preserve_thinking": True, "truncate_history_thinking": False},
     "messages": [user("2+2?"), assistant("Four.", reasoning_content="Easy."), user("3+3?"), assistant("Six.")]},
    {"name": "same-role-twice", "messages": [user("One"), user("Two"), assistant("Three."), assistant("Four.")]},
    {"name": "starts-with-assistant", "messages": [assistant("Hello, I am here."), user("Good."), assistant("Yes.")]},
    {"name": "empty-answer", "messages": [user("Say nothing."), assistant("")]},
    {"name": "developer", "messages": [
        {"role": "developer", "content": "Be brief."}, user("Hi"), assistant("Hello.")]},
    {"name": "documents", "documents": [{"title": "Log", "text": "Fog at nine."}],
     "messages": [user("When was the fog?"), assistant("At nine.")]},
    {"name": "date-given", "variables": {"date_string": "01 Jan 2026"}, "messages": [user("Hi"), assistant("Hello.")]},
    {"name": "unknown-role", "messages": [user("Hi"), {"role": "critic", "content": "Bad."}, assistant("Hello.")]},
    {"name": "long", "messages": [
        message for turn in range(12) for message in (user(f"Question {turn}?"), assistant(f"Answer {turn}."))]},
]

CONTEXT = {
    "messages": [user("Hello"), assistant("Good morning."), user("Bye")],
    "name": "keeper", "empty": "", "text": "The Lamp burns", "spaced": "  a  b\tc \n", "lines": "one\n\ntwo\r\nthree\n",
    "wide": "Grüße 灯台 👩‍🔬", "accents": ["é", "e\u0301"], "html": "<b>\"x\" & 'y'</b>", "csv": "a,b,,c",
    "numbers": [3, 1, 2, 3], "floats": [0.1, 1.0, 1e16, 1.5e-7, 123456789.125, -0.0], "mixed": [1, "a", None, True, 2.5],
    "nested": {"b": {"c": [10, 20, {"d": "deep"}]}, "a": 1, "items": "shadow", "Z": 0}, "none": None, "yes": True,
    "no": False, "one": 1, "big": 9223372036854775807, "ratio": 0.1, "people": [
        {"name": "Ada", "age": 36, "tags": ["x"]}, {"name": "bob", "age": 25}, {"name": "Cy", "age": 36, "tags": []}],
    "quote": "it's", "both": "it's \"so\"", "control": "a\tb\x01\x7f\u2028\u200d", "percent": "100%",
}

EXPRESSIONS = r"""
1 + 2 * 3
7 // 2
-7 // 2
7 // -2
-7 % 3
7 % -3
7.5 % 2
-7.5 % 2
7.5 // 2
-7.5 // 2
7 / 2
6 / 2
2 ** 10
2 ** -1
2 ** 0.5
2 ** 3 ** 2
-2 ** 2
- 2 ** 2
(2 + 3) * 4
1 - 2 - 3
2 * 3 % 4
1 + 1.0
1e3
1.5e-7
1_000
0x1F + 0b101 + 0o17
0.1 + 0.2
floats
floats|join(' ')
1e16
1e15
123456789012345678.0
1e22
1e-5
0.0001
1/3
true
True
none
None
[true, none, 1.0, 'a']
not true
not none
not ''
1 and 0
0 or 'x'
'' or none
'a' and 'b'
none or false
1 == 1.0
1 == true
0 == false
'1' == 1
none == false
none == none
[1, 2] == [1, 2]
(1, 2) == [1, 2]
{'a': 1} == {'a': 1.0}
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
accents[0] == accents[1]
'é' == accents[0]
1 < 2 < 3
1 < 3 < 2
3 > 2 > 1 == true
'a' < 'b'
'Z' < 'a'
'é' > 'z'
[1, 2] < [1, 3]
(1,) < (1, 0)
1 < 'a'
none < 1
'a' in 'cat'
'' in 'cat'
'x' not in 'cat'
1 in [1, 2]
1.0 in [1, 2]
'name' in people[0]
'tags' in people[1]
none in [none]
1 in 'cat'
'a' in undefined_thing
undefined_thing in [1]
undefined_thing
undefined_thing.attribute
undefined_thing['item']
undefined_thing + 1
undefined_thing ~ 'x'
undefined_thing == other_undefined
undefined_thing == none
undefined_thing|length
undefined_thing|list
undefined_thing|default('d')
undefined_thing|d
undefined_thing|upper
undefined_thing|tojson
undefined_thing()
undefined_thing < 1
undefined_thing[1:]
-undefined_thing
not undefined_thing
undefined_thing is sequence
undefined_thing is iterable
undefined_thing is mapping
undefined_thing is string
undefined_thing is none
undefined_thing or 'x'
name.missing
name.missing is defined
nested.missing
nested.missing.more
nested.missing is undefined
nested['missing'] is defined
none.x
none['x']
none[0]
numbers[10]
numbers['x']
numbers[10] is defined
numbers[-1]
numbers[-10] is defined
numbers[1:]
numbers[:-1]
numbers[::-1]
numbers[::2]
numbers[1:3]
numbers[-2:]
numbers[5:]
numbers[3:1]
numbers[3:0:-1]
numbers[::-2]
numbers[-100:100]
numbers[none:none]
numbers[::0]
numbers[true]
text[0]
text[-1]
text[4:8]
text[::-1]
text[100]
wide[0:3]
wide[6:8]
wide|length
wide[-1]
wide[::-1][-2:]
messages[1:]|length
messages[::-1][0].content
messages[0]['role'] ~ messages[-1].content
nested.b.c[2].d
nested['b']['c'][-1]['d']
nested['items']
nested.items()|list
nested.keys()|list
nested.values()|list
nested.get('a')
nested.get('q')
nested.get('q', 'd')
nested.a.b
people.0.name
'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1]
'a' 'b' "c"
'a' + 'b'
'a' + 1
1 + 'a'
'ab' * 3
3 * 'ab'
'ab' * -1
[1] * 3
[1] + [2]
(1,) + (2,)
[1] + (2,)
1 - 'a'
'5' * '5'
true + true
-true
+5
--5
1 if true else 2
1 if false else 2
1 if false
(1 if false) is defined
'a' if 0 else 'b' if 1 else 'c'
1 if none is none else 2
(1, 2)
(1,)
()
1, 2
[]
{}
[1, 'a', "it's", 'q"q', none]
{'a': 1, "b": [1.0], 3: none}
{'a': 1, 'a': 2}
{[1]: 2}
{1: 'a', 1.0: 'b', true: 'c'}
{(1, 2): 3}
quote
[quote]
[both]
[control]
[wide]
['\n\t\\\r']
['\x00\xff\u200d']
'\x41\u00e9\U0001F600\101\0'|length
'\q\d'
'line\
continued'
'tab\there'
"double \"quoted\""
'\u00e9' == 'é'
1/0
1//0
1%0
1.0/0
0 ** -1
name.upper()
text.lower()
text.title()
"they're bill's".title()
'x1y é'.title()
'hELLO wORLD'.capitalize()
'ß'.upper()
text.swapcase()
spaced.strip()
spaced.lstrip()
spaced.rstrip()
'xxaxx'.strip('x')
'xyax'.lstrip('xy')
'axyx'.rstrip('yx')
'a'.strip(none)
'\u3000a\u00a0'.strip() == 'a'
'\x1ca\x85'.strip() == 'a'
'\ufeffa'.strip()|length
csv.split(',')
csv.split(',', 1)
csv.split(',', maxsplit=2)
csv.rsplit(',', 1)
csv.split('')
csv.split('zz')
spaced.split()
spaced.split(none, 1)
'  a b  c '.split(none, 1)
'  a b  c '.rsplit(none, 1)
' a b c '.rsplit(none, 0)
' a b c '.split(none, 0)
''.split()
''.split(',')
'a<think>b</think>c'.split('</think>')[-1]
'a<think>b</think>c'.split('</think>')[0].split('<think>')[-1]
lines.splitlines()
lines.splitlines(true)
'a\x0bb\u2028c'.splitlines()
text.startswith('The')
text.startswith(('x', 'The'))
text.endswith('ns')
text.endswith(('x', 'ns'))
text.startswith('')
text.startswith(1)
text.replace('a', 'b')
text.replace('e', 'E', 1)
'aaa'.replace('a', 'b', 2)
'abc'.replace('', '-')
'abc'.replace('', '-', 2)
text.find('Lamp')
text.find('zz')
wide.find('灯')
text.rfind('s')
text.find('e', 3)
text.find('e', 3, 5)
text.index('L')
text.index('zz')
text.count('n')
'aaaa'.count('aa')
'abc'.count('')
'-'.join(['a', 'b'])
'-'.join([1, 2])
','.join('abc')
'{} {}'.format(1, 'a')
'{1} {0} {x}'.format(1, 2, x=3)
'{:>5}|{:<5}|{:^5}|{:05d}|{:.2f}|{:,}'.format('a', 'b', 'c', 42, 3.14159, 1234567)
'{{}}'.format()
'{!r}'.format('a')
'{}'.format()
'%s is %d' % ('a', 3)
'%s' % 'a'
'%5.1f|%-5s|%05d|%x|%%' % (3.14159, 'ab', 42, 255)
'%(a)s' % {'a': 1}
'%d' % 'a'
'%s'|format('x')
'%s %s'|format('x', 1)
'abc'.center(9, '*')
'abcd'.center(9)
'abc'.center(6)|tojson
'abc'.ljust(5) ~ '|' ~ 'abc'.rjust(5, '.')
'42'.zfill(5) ~ '-42'.zfill(5)
'a.b.c'.partition('.')
'a.b.c'.rpartition('.')
'abc'.partition('.')
'prefix-x'.removeprefix('prefix-')
'x.txt'.removesuffix('.txt')
'123'.isdigit()
'12a'.isdigit()
''.isdigit()
'²'.isdigit()
'abc'.isalpha()
'灯台'.isalpha()
'a1'.isalnum()
' \t'.isspace()
'ABC'.isupper()
'abc1'.islower()
'The Lamp'.istitle()
'½'.isnumeric()
'abc'.nosuchmethod()
numbers.count(3)
numbers.index(2)
numbers.append(4)
nested.update({'a': 2})
nested.pop('a')
numbers.pop()
nested.copy()
name|upper
'HELLO World'|lower
'hello WORLD'|capitalize
"hello (big) world-wide they're"|title
'  x '|trim
'xxaxx'|trim('x')
5|trim
none|trim
numbers|length
nested|length
text|count
5|length
none|length
numbers|first
numbers|last
[]|first
[] |last
text|first
numbers|join
numbers|join('-')
numbers|join(', ')
people|join(',', attribute='name')
mixed|join('|')
mixed
'abc'|list
nested|list
numbers|sort
numbers|sort(reverse=true)
['b', 'A', 'c']|sort
['b', 'A', 'c']|sort(case_sensitive=true)
people|sort(attribute='age')|map(attribute='name')|list
people|sort(attribute='age', reverse=true)|map(attribute='name')|list
people|sort(attribute='age,name')|length
mixed|sort
numbers|unique|list
['a', 'A', 'b']|unique|list
people|map(attribute='age')|unique|list
numbers|reverse|list
text|reverse
numbers|reverse|length
numbers|sum
people|sum(attribute='age')
['a', 'b']|sum
['a', 'b']|sum(start='')
numbers|max
numbers|min
[]|max
['b', 'A']|min
people|max(attribute='age')
people|map(attribute='name')|list
people|map(attribute='tags')|list
people|map(attribute='tags', default='none')|list
people|map(attribute='tags.0')|list
['a', 'b']|map('upper')|list
['a', 'b']|map('replace', 'a', 'x')|join
[1, 2]|map('string')|join('+')
['1', 'x']|map('int', default=7)|list
numbers|map('nosuch')|list
numbers|select('odd')|list
numbers|select('gt', 1)|list
numbers|select('>', 1)|list
[0, 1, '', 'a', none]|select|list
[0, 1, '', 'a', none]|reject|list
numbers|reject('equalto', 3)|list
messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|join(',')
messages|selectattr('role', 'eq', 'user')|list|length
messages|rejectattr('role', 'equalto', 'user')|list
people|selectattr('tags')|map(attribute='name')|list
people|selectattr('tags', 'defined')|map(attribute='name')|list
true if messages|selectattr('role', 'equalto', 'nobody') else false
true if messages|selectattr('role', 'equalto', 'nobody')|list else false
messages|selectattr('role', 'equalto', 'user')|first
messages|selectattr('role', 'in', ['user', 'tool'])|list|length
numbers|select('nosuch')|list
people|groupby('age')|length
people|groupby('age')|map('first')|list
nested|dictsort
nested|dictsort(true)
{'b': 1, 'a': 2}|dictsort(by='value')
{'b': 1, 'a': 2}|dictsort(reverse=true)
nested|items|list
5|items|list
undefined_thing|items|list
'a,b'|replace(',', ';')
'aaa'|replace('a', 'b', 2)
5|replace('5', 'x')
'12'|int
'12.7'|int
'x'|int
'x'|int(default=5)
'ff'|int(base=16)
' 5 '|int
none|int
3.9|int
-3.9|int
true|int
'1.5'|float
'x'|float
'1e3'|float
'inf'|float
5|float
5|string
none|string
'a'|string
2.5|round
3.5|round
2.675|round(2)
1234.5|round(-2)
5|round
5.123|round(1, 'ceil')
5.199|round(1, 'floor')
5|round(1, 'ceil')
-2.5|round
-5|abs
-2.5|abs
'a'|abs
lines|indent
lines|indent(2)
lines|indent(2, true)
lines|indent(2, blank=true)
'a\nb'|indent('> ')
'a\nb'|indent(first=true)
html|escape
html|e
html|e|e
html|safe
(html|safe) + '<i>'
'<i>' + (html|safe)
(html|safe) ~ '<i>'
'x'|safe|upper
nested|tojson
nested|tojson(indent=2)
numbers|tojson(indent=4)
[]|tojson(indent=2)
{}|tojson(indent=2)
[[], {}]|tojson(indent=2)
wide|tojson
wide|tojson(ensure_ascii=true)
html|tojson
control|tojson
control|tojson(ensure_ascii=true)
floats|tojson
mixed|tojson
both|tojson
(1, 2)|tojson
{1: 'a', none: 'b', true: 'c', 1.5: 'd'}|tojson
nested|tojson(sort_keys=true)
nested|tojson(separators=(',', ':'))
nested|tojson(indent=2, separators=(',', ':'))
nested|tojson(true)
'\u2028'|tojson
[undefined_thing]|tojson
big|tojson
big
0.1|tojson
[1e16, 1e-7, 100.0]|tojson
''|default('d')
''|default('d', true)
none|default('d')
none|default('d', true)
0|default(5, boolean=true)
[1, 2, 3, 4, 5]|batch(2)|list
[1, 2, 3]|batch(2, 'x')|list
'abc def'|wordcount
people[0]|attr('name')
people|attr('nothing') is defined
html|forceescape
'abc'|center(9)
name is defined
name is string
html|safe is string
5 is number
true is number
true is integer
5 is integer
5.0 is integer
5.0 is float
true is boolean
1 is boolean
true is true
1 is true
none is none
false is false
nested is mapping
numbers is mapping
numbers is sequence
text is sequence
nested is sequence
5 is sequence
numbers is iterable
5 is iterable
none is iterable
messages|selectattr('role') is sequence
messages|selectattr('role') is iterable
range is callable
name is callable
nested.items is callable
3 is odd
4 is even
-3 is odd
9 is divisibleby 3
9 is divisibleby(2)
9 is divisibleby 0
'abc' is lower
'ABC' is upper
5 is eq 5
5 is equalto(5)
5 is ne 4
5 is gt 4
5 is ge 5
5 is lt 4
5 is le 5
5 is greaterthan 4
5 is in [5]
'a' is in 'abc'
5 is not in [5]
none is sameas none
numbers is sameas numbers
1 is sameas true
'upper' is filter
'nosuch' is filter
'defined' is test
5 is not none
5 is not string
name is not defined
not name is defined
name is defined and name == 'keeper'
5 is nosuch
name|nosuch
range(3)|list
range(1, 4)|list
range(5, 0, -2)|list
range(0)|list
range(0, 10, 0)
range(1000000)
range(3)[1]
range(3)|length
range('a')
dict(a=1, b=2)
dict({'a': 1}, b=2)
dict([['a', 1], ('b', 2)])
dict(**{'x': 1})
namespace(a=1).a
namespace({'a': 2}).a
namespace(_a=1)
strftime_now('%d %b %Y %H:%M:%S %j %A')
strftime_now('%Y-%m-%d')
raise_exception('No!')
joiner('; ')() ~ 'x'
cycler('a', 'b').current
people[0]['name']|upper|lower|title
(people|first).name
people|map(attribute='name')|map('lower')|join(',')|upper
(1, 2)[0]
[1, 2][1]
{'a': {'b': 1}}.a.b
'abc'[1]
'%s'|format('%s')
name|upper|length
-5|abs
- 5 | abs
(-5)|abs
1 + 2|abs
'a' ~ 'b'|upper
'x' in ['x']|list
1 in [1] and 2 in [2]
not 1 in [1]
1 not in [1]
[1, 2, 3,]
(1, 2,)
{'a': 1,}
name if name else 'x' ~ 'y'
[x for x in y]
name.__class__
nested.__class__
''.__class__.__mro__
loop
caller
messages[0]
messages|length > 2 and messages[0].role == 'user'
(messages|last).content
{'a': [1, {'b': none}]}
[1.0, 2.50, 1e100, -1.5]
'a' == 'a' == 'a'
1 != 2 != 1
true and not false or none
nested.b.c|length - 1
'a'.join(['x'])|length
text.split(' ')[1:]|join(' ')
text.split()|map('length')|sum
(text|length) / 2
"%.3f"|format(ratio)
'{:.3g}'.format(1234.5678)
'{0}{0}'.format('ab')
'{a.name}'.format(a=people[0])
"a" "b"|upper
[[1, 2], [3, 4]]|map('join')|list
[3, 1]|sort|first
'b' > 'a' and 'b' is string
""".strip("\n").replace("\\\ncontinued", "\0").split("\n")
EXPRESSIONS = [expression.replace("\0", "\\\ncontinued") for expression in EXPRESSIONS]

STATEMENTS = [
    "{% for x in numbers %}{{ x }},{% endfor %}",
    "{% for x in numbers %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}",
    "{% for x in numbers %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
    "{% for x in numbers %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x) }}{{ loop.depth }}{% endfor %}",
    "{% for x in numbers if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }}{{ loop.last }} {% endfor %}",
    "{% for x in [] %}x{% else %}empty{% endfor %}",
    "{% for x in numbers if x > 9 %}x{% else %}none pass{% endfor %}",
    "{% for a, b in [(1, 2), [3, 4]] %}{{ a }}-{{ b }} {% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}",
    "{% for k, v in nested.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in nested|items %}{{ k }};{% endfor %}",
    "{% for k, v in nested|dictsort %}{{ k }};{% endfor %}",
    "{% for k in nested %}{{ k }};{% endfor %}",
    "{% for c in 'héy' %}{{ c }}.{% endfor %}",
    "{% for x in 5 %}{% endfor %}",
    "{% for x in none %}{% endfor %}",
    "{% for x in undefined_thing %}x{% else %}nothing{% endfor %}",
    "{% for x in numbers %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in numbers %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in numbers %}{% for y in numbers %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}",
    "{% for x in numbers %}{% set outer = loop %}{% for y in 'ab' %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% set x = 1 %}{% for y in numbers %}{% set x = y %}{{ x }}{% endfor %}{{ x }}",
    "{% set x = 1 %}{% for y in numbers %}{{ x }}{% set x = x + 1 %}{{ x }} {% endfor %}{{ x }}",
    "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% if false %}{% set x = 2 %}{% endif %}{{ x is defined }}",
    "{% set ns = namespace(n=0) %}{% for y in numbers %}{% set ns.n = ns.n + y %}{% endfor %}{{ ns.n }}",
    "{% set ns = namespace() %}{% set ns.a = [1] %}{% set ns.a = ns.a + [2] %}{{ ns.a }}{{ ns.b is defined }}",
    "{% set nested.x = 1 %}",
    "{% set missing.x = 1 %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = 'xy' %}{{ a }}{{ b }}",
    "{% set a, b = [1] %}",
    "{% set x %}block {{ name }}{% endset %}{{ x }}{{ x|length }}",
    "{% set x | upper | trim %} block {{ name }} {% endset %}[{{ x }}]",
    "{% macro m(a, b=2, c='z') %}{{ a }}{{ b }}{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c=4) }}{{ m(b=5) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(q=2) }}",
    "{% macro m(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, q=4) }}",
    "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(1) }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "{% macro m() %}{{ late }}{% endmacro %}{% set late = 'seen' %}{{ m() }}",
    "{% macro m() %}{{ x is defined }}{% endmacro %}{% for x in [1] %}{{ m() }}{% endfor %}",
    "{% macro m() %}{% set inner = 1 %}{% endmacro %}{{ m() }}{{ inner is defined }}",
    "{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m() %}{{ caller() }}-{{ caller() }}{% endmacro %}{% call m() %}body{% endcall %}",
    "{% macro m(xs) %}{% for x in xs %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(y) m(numbers) %}<{{ y }}>{% endcall %}",
    "{% macro m() %}x{% endmacro %}{{ m()|upper }}{{ m.name }}{{ m is callable }}",
    "{% macro m() %}{% set ns.n = ns.n + 1 %}{% endmacro %}{% set ns = namespace(n=0) %}{{ m() }}{{ m() }}{{ ns.n }}",
    "{% filter upper %}abc {{ name }}{% endfilter %}",
    "{% filter trim|replace('a', 'b') %} abc {% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}",
    "{% generation %}{% set q = 1 %}{{ q }}{% endgeneration %}{{ q is defined }}",
    "{% for x in numbers %}{% generation %}{{ loop.index }}{{ x }}{% endgeneration %}{% endfor %}",
    "{% if no %}a{% elif one %}b{% else %}c{% endif %}",
    "{% if no %}a{% elif none %}b{% else %}c{% endif %}",
    "{% if no %}a{% elif none %}b{% endif %}",
    "{% if messages and messages[0].role == 'user' %}u{% endif %}",
    "{% if numbers|length > 3 %}many{% endif %}",
    "{% if nested %}full{% endif %}{% if {} %}x{% endif %}{% if [] %}x{% endif %}{% if 0.0 %}x{% endif %}",
    "{# comment #}a{#- stripped -#} b {#+ kept +#} c",
    "a\n{# alone #}\nb",
    "a\n   {# indented #}\nb",
    "{% raw %}{{ not }} {% if %}{% endraw %}x",
    "a {%- raw -%}  {{ x }}  {%- endraw -%} b",
    "  {% raw %}\n x {% endraw %}\ny",
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n",
    "a\n  {%+ if true %}\n  b\n  {%+ endif +%}\nc\n",
    "a \n {%- if true -%} \n b \n {%- endif -%} \n c",
    "{{ 1 }}\n{{ 2 }}\n",
    "  {{ 1 }}  \n  {{- 2 -}}  \n3",
    "a\n\t {{ 1 }}",
    "x {% if true %} y {% endif %} z",
    "x\n\n{% if true %}\n\n y\n\n{% endif %}\n\nz\n\n",
    "{% for x in [1, 2] %}\n  {{ x }}\n{% endfor %}",
    "{% for x in [1, 2] -%}\n  {{ x }}\n{%- endfor %}",
    "\n\n{% set x = 1 %}\n\n{{ x }}",
    "\u3000{%- if true %}a{% endif -%}\u3000b",
    "a\r\n{% if true %}\r\nb\r{% endif %}c",
    "{{ {'a': {'b': 1}}}}",
    "{{ {'a': {'b': 1}}['a']['b'] }}",
    "{{ '}}' }}{{ '%}' }}{{ \"{{\" }}",
    "{{ 'a' -}}   \n b",
    "{%- set x = 5 -%}\n{{ x }}",
    "{% set x = 1 if true else 2 %}{{ x }}",
    "{% set x = 1, %}{{ x }}",
    "{{ 1,2 }}",
    "{% for x in 1, 2 %}{{ x }}{% endfor %}",
    "{% for x in numbers[1:] %}{{ x }}{% endfor %}",
    "{% for x in (numbers if yes else []) %}{{ x }}{% endfor %}",
    "{% for x in numbers|sort %}{{ x }}{% endfor %}",
    "{% for m in messages %}{{ m.role }}{% if not loop.last %},{% endif %}{% endfor %}",
    "{% for m in messages %}{{ m['role'] }}{{ messages[loop.index0 + 1].role if not loop.last }}{% endfor %}",
    "{% set g = numbers|select('odd') %}{% for x in g %}{{ x }}{% endfor %}|{% for x in g %}{{ x }}{% endfor %}",
    "{% set r = numbers|reverse %}{{ r|first }}{{ r|list }}{{ r|list }}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}",
    "{% set j = joiner('; ') %}{% for x in numbers %}{{ j() }}{{ x }}{% endfor %}",
    "{% if false %}{{ name|nosuch }}{% endif %}ok",
    "{% if true %}{{ name|nosuch }}{% endif %}ok",
    "{{ raise_exception('Message ' ~ name) }}",
    "{% if 1 %}",
    "{% endif %}",
    "{% for x in y %}",
    "{{ name",
    "{% if name",
    "{{ 'open }}",
    "{# open",
    "{% raw %} open",
    "{{ (1 }}",
    "{{ 1) }}",
    "{{ [1} }}",
    "{{ }}",
    "{% %}",
    "{{ 1 2 }}",
    "{{ a.. }}",
    "{{ a | }}",
    "{{ a is }}",
    "{{ 1 + }}",
    "{{ ? }}",
    "{{ a = 1 }}",
    "{% set 1 = 2 %}",
    "{% set true = 2 %}",
    "{% set %}",
    "{% for in x %}{% endfor %}",
    "{% for x of y %}{% endfor %}",
    "{% macro %}{% endmacro %}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{% nosuch %}",
    "{% if a %}{% else %}{% elif b %}{% endif %}",
    "{% extends 'x' %}",
    "{% include 'x' %}",
    "{{ f(a=1, 2) }}",
    "{{ f(1 2) }}",
    "plain text only\n",
    "",
    "\n",
    "}} %} #} text",
    "{ {{ 1 }} }",
    "{{ 1 }}{{ 2 }}{% if true %}{{ 3 }}{% endif %}",
    "{%if true%}a{%endif%}",
    "{{-1}}",
    "{{- 1 }}",
    "{{+1}}",
    "{% for x in numbers %}{{ x if x > 1 }}{% endfor %}",
    "{% for x in numbers if loop.index %}{{ x }}{% endfor %}",
    "{% set messages = messages[1:] %}{% for m in messages %}{{ m.content }}{% endfor %}",
    "{% set x = [] %}{% set x = x + [1] %}{{ x }}",
    "{% set d = dict(messages[0], content='new') %}{{ d }}",
    "{{ messages[0].content }}{{ messages|map(attribute='role')|list }}",
    "{% for i in range(messages|length) %}{{ i }}{{ messages[i].role }} {% endfor %}",
    "{% for i in range(messages|length - 1, -1, -1) %}{{ i }}{% endfor %}",
    "{% set last = namespace(i=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set last.i = loop.index0 %}{% endif %}{% endfor %}{{ last.i }}",
    "{{ name }}{% set name = 'x' %}{{ name }}",
    "{% set f = name.upper %}{{ f() }}",
    "{% set xs = numbers %}{% set xs = xs|map('string')|list %}{{ xs|join('') }}",
    "{%- macro a(x) -%}[{{ x }}]{%- endmacro -%}{%- macro b(x) -%}{{ a(x) ~ a(x + 1) }}{%- endmacro -%}{{ b(1)|length }}{{ b(1) }}",
]
