import Files
import TestSupport
import Testing
import Tokenizers

/// A faulty template and what its error must say.
struct BadTemplate: CustomTestStringConvertible {
    let what, source: String
    /// Parts of the message, the place or the hint.
    let says: [String]

    init(_ what: String, _ source: String, _ says: String...) {
        self.what = what
        self.source = source
        self.says = says
    }

    var testDescription: String { what }

    private static func nest(_ part: String, _ count: Int) -> String { String(repeating: part, count: count) }

    static let table: [BadTemplate] = [
        // What is written wrongly.
        BadTemplate("open block", "a\n{% if x %}b", "line 2", "endif"),
        BadTemplate("open loop", "{% for x in y %}\n\nb", "endfor"),
        BadTemplate("open tag", "a\n\n{{ x", "line 3", "'}}' is missing"),
        BadTemplate("open block tag", "{% set x = 1", "'%}' is missing"),
        BadTemplate("open comment", "a\n{# b", "line 2", "'#}' is missing"),
        BadTemplate("open raw", "{% raw %}", "endraw"),
        BadTemplate("open string", "{{ 'abc }}", "string is not closed"),
        BadTemplate("open bracket", "{{ (1 }}", "unexpected '}'"),
        BadTemplate("stray end", "{% endfor %}", "unknown statement 'endfor'"),
        BadTemplate("unknown statement", "{% fro x in y %}{% endfor %}", "'fro'", "'for'"),
        BadTemplate("unknown filter", "{{ x|uper }}", "unknown filter 'uper'", "'upper'"),
        BadTemplate(
            "unknown filter in a taken branch", "{% if true %}\n{{ 'a'|tojsn }}{% endif %}", "line 2", "'tojson'"),
        BadTemplate("unknown test", "{{ x is defned }}", "unknown test 'defned'", "'defined'"),
        BadTemplate("unknown filter in map", "{{ ['a']|map('uper')|list }}", "'upper'"),
        BadTemplate("include", "{% include 'a' %}", "other template files"),
        BadTemplate("recursive loop", "{% for x in [1] recursive %}{% endfor %}", "recursive"),
        BadTemplate("lone surrogate", "{{ '\\ud83d' }}", "names no character"),
        BadTemplate("large integer", "{{ 9223372036854775808 }}", "64-bit"),
        BadTemplate("stray character", "{{ a ? b }}", "'?'"),
        BadTemplate("break outside a loop", "{% break %}", "outside a loop"),
        // What goes wrong while running.
        BadTemplate("raise", "\n\n{{ raise_exception('Not like this') }}", "line 3", "Not like this"),
        BadTemplate("undefined attribute", "{{ nothing.at.all }}", "'nothing' is undefined"),
        BadTemplate("undefined call", "{{ nothing() }}", "'nothing' is undefined"),
        BadTemplate("calling a string", "{{ 'a'() }}", "cannot be called"),
        BadTemplate("setting on a dictionary", "{% set d = {} %}{% set d.x = 1 %}", "namespace"),
        BadTemplate("changing a list", "{{ [].append(1) }}", "would change a list"),
        BadTemplate("changing a dictionary", "{{ {}.update({}) }}", "would change a dictionary"),
        BadTemplate("division by zero", "{{ 1 // 0 }}", "division by zero"),
        BadTemplate("remainder by zero", "{{ 1 % 0 }}", "division by zero"),
        BadTemplate("sum overflow", "{{ 9223372036854775807 + 1 }}", "64 bits"),
        BadTemplate("product overflow", "{{ 9223372036854775807 * 2 }}", "64 bits"),
        BadTemplate("negation overflow", "{{ -(-9223372036854775807 - 1) }}", "64 bits"),
        BadTemplate("quotient overflow", "{{ (-9223372036854775807 - 1) // -1 }}", "64 bits"),
        BadTemplate("absolute overflow", "{{ (-9223372036854775807 - 1)|abs }}", "64 bits"),
        BadTemplate("power overflow", "{{ 10 ** 100 }}", "64 bits"),
        BadTemplate("float power overflow", "{{ 10.0 ** 1000 }}", "too large"),
        BadTemplate("root of a negative", "{{ (-1) ** 0.5 }}", "not a number"),
        BadTemplate("long range", "{{ range(1000000000) }}", "range"),
        BadTemplate("extreme range", "{{ range(-9223372036854775807, 9223372036854775807) }}", "range"),
        BadTemplate("macro argument", "{% macro m(size) %}{% endmacro %}{{ m(sise=1) }}", "'sise'", "'size'"),
        BadTemplate("filter argument", "{{ 'a'|tojson(indnt=1) }}", "'indnt'", "'indent'"),
        BadTemplate("unhashable key", "{{ {[1]: 2} }}", "key"),
        BadTemplate("wide format", "{{ '%999999999999d' % 1 }}", "too large"),
        BadTemplate("wide field", "{{ '{:999999999999}'.format(1) }}", "too large"),
        // What would not end, or grow without end.
        BadTemplate(
            "nested loops",
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "steps"),
        BadTemplate(
            "endless output",
            "{% set s = 'x' * 1000000 %}{% for a in range(99999) %}{{ s }}{% endfor %}", "MB"),
        BadTemplate(
            "doubling text",
            "{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", "MB"),
        BadTemplate(
            "doubling with ~",
            "{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", "MB"),
        BadTemplate(
            "doubling list",
            "{% set ns = namespace(s=[1]) %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", ""),
        BadTemplate(
            "doubling tree",
            "{% set ns = namespace(s=[1]) %}{% for a in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
            "values"),
        BadTemplate(
            "deep list",
            "{% set ns = namespace(s=[]) %}{% for a in range(99999) %}{% set ns.s = [ns.s] %}{% endfor %}", "deep"),
        BadTemplate(
            "deep dictionary",
            "{% set ns = namespace(s={}) %}{% for a in range(99999) %}{% set ns.s = {1: ns.s} %}{% endfor %}", "deep"),
        BadTemplate("endless macro", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "deep"),
        BadTemplate(
            "two endless macros",
            "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}", "deep"),
        BadTemplate(
            "endless caller",
            "{% macro m() %}{{ caller() }}{% endmacro %}{% macro n() %}{% call m() %}{{ n() }}{% endcall %}{% endmacro %}{{ n() }}",
            "deep"),
        BadTemplate("huge repetition", "{{ 'ab' * 9223372036854775807 }}", "MB"),
        BadTemplate("huge list repetition", "{{ [1] * 9223372036854775807 }}", "steps"),
        BadTemplate("huge centre", "{{ 'a'|center(9223372036854775807) }}", "MB"),
        BadTemplate("huge centre method", "{{ 'a'.center(9223372036854775807) }}", "MB"),
        BadTemplate("least precision", "{{ 1.5|round(-9223372036854775807-1) }}", "too large"),
        BadTemplate(
            "reversing without end",
            "{% set s = 'x' * 1000000 %}{% for i in range(99999) %}{% set c = s|reverse %}{% endfor %}", "steps"),
        BadTemplate(
            "counting words without end",
            "{% set s = 'x' * 1000000 %}{% for i in range(99999) %}{% set c = s|wordcount %}{% endfor %}", "steps"),
        BadTemplate(
            "looking up a long key without end",
            "{% set s = 'x' * 1000000 %}{% set d = {1: 1} %}{% for i in range(99999) %}{% set c = d[s] %}{% endfor %}",
            "steps"),
        BadTemplate("huge ljust", "{{ 'a'.ljust(99999999999) }}", "MB"),
        BadTemplate("huge zfill", "{{ 'a'.zfill(99999999999) }}", "MB"),
        BadTemplate("huge indent", "{{ 'a\\nb'|indent(99999999999) }}", "MB"),
        BadTemplate("huge replace", "{% set s = 'a' * 1000000 %}{{ s.replace('a', s) }}", "MB"),
        BadTemplate("huge empty replace", "{% set s = 'a' * 1000000 %}{{ s.replace('', s) }}", "MB"),
        BadTemplate("huge join", "{% set s = 'a' * 1000000 %}{{ range(1000)|join(s) }}", "MB"),
        BadTemplate("huge batch", "{{ [1]|batch(9223372036854775807, 0)|list }}", "steps"),
        BadTemplate("huge tojson indent", "{{ [1]|tojson(indent=99999999999) }}", "too large"),
        BadTemplate("huge precision", "{{ '%.99999999999f' % 1.5 }}", "too large"),
        BadTemplate(
            "quadratic search",
            "{% set s = 'ab' * 1000000 %}{% for a in range(99999) %}{{ 'c' in s }}{% endfor %}", "steps"),
        BadTemplate(
            "quadratic comparison",
            "{% set s = 'ab' * 1000000 %}{% set t = 'ab' * 1000000 %}{% for a in range(99999) %}{{ s == t }}{% endfor %}",
            "steps"),
        // Nesting, written out.
        BadTemplate("deep parentheses", "{{ " + nest("(", 100_000) + "1" + nest(")", 100_000) + " }}", "levels deep"),
        BadTemplate("deep lists", "{{ " + nest("[", 100_000) + "1" + nest("]", 100_000) + " }}", "levels deep"),
        BadTemplate("deep not", "{{ " + nest("not ", 100_000) + "1 }}", "levels deep"),
        BadTemplate("deep minus", "{{ " + nest("-", 100_000) + "1 }}", "levels deep"),
        BadTemplate("deep if", nest("{% if 1 %}", 100_000), "levels deep"),
        BadTemplate("deep conditional", "{{ " + nest("1 if 0 else ", 100_000) + "1 }}", "levels deep"),
        BadTemplate("long sum", "{{ 1" + nest(" + 1", 2_000) + " }}", "levels deep"),
        BadTemplate("longer sum", "{{ 1" + nest(" + 1", 100_000) + " }}", "parts"),
        BadTemplate("long filter chain", "{{ 1" + nest("|string", 100_000) + " }}", "parts"),
        BadTemplate("long attribute chain", "{{ a" + nest(".a", 4_000) + " }}", "levels deep"),
    ]
}

@Suite("A faulty or malicious template ends in an error, soon")
struct JinjaBadInputTests {
    @Test("the table", arguments: BadTemplate.table)
    func faults(bad: BadTemplate) throws {
        let error = try #require(
            #expect(throws: InputError.self) {
                try ChatTemplate(bad.source, name: "t.jinja").render(messages: [["role": "user", "content": "x"]])
            })
        #expect(error.file == "t.jinja")
        #expect(error.place?.hasPrefix("line ") == true)
        for part in bad.says { #expect(part.isEmpty || error.description.contains(part), "\(error)") }
    }

    @Test("a namespace that holds itself, and chains of namespaces, are harmless")
    func cycles() throws {
        let own = "{% set a = namespace() %}{% set a.me = a %}{{ a.me.me is defined }}"
        #expect(try ChatTemplate(own).render(messages: []).text == "True")
        let chain =
            "{% set h = namespace(cur=namespace()) %}{% for i in range(50000) %}{% set cur = h.cur %}"
            + "{% set cur.next = namespace() %}{% set h.cur = cur.next %}{% endfor %}done"
        #expect(try ChatTemplate(chain).render(messages: []).text == "done")
    }

    @Test("cutting a template anywhere gives a template or an error with a line")
    func truncation() throws {
        for name in ["thinking", "counting", "brackets"] {
            let source = try ByteSource(Locations.fixture("templates/\(name).jinja")).readAll()
            for end in stride(from: 0, to: source.count, by: 3) {
                let cut = String(decoding: source[..<end], as: UTF8.self)
                do {
                    _ = try ChatTemplate(cut).render(messages: [["role": "user", "content": "x"]])
                } catch let error as InputError {
                    #expect(error.place?.hasPrefix("line ") == true, "\(error)")
                }
            }
        }
    }

    @Test("a template with characters swapped, doubled or dropped never traps")
    func mutation() throws {
        var state: UInt64 = 42
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let pool = Array("{}%#()[]'\"|.,:~-+*/ \n0123456789abcxyz=<>!\\é".unicodeScalars)
        for name in ["thinking", "counting", "brackets", "headers"] {
            let source = try ByteSource(Locations.fixture("templates/\(name).jinja")).readAll()
            for _ in 0..<400 {
                var scalars = Array(String(decoding: source, as: UTF8.self).unicodeScalars)
                for _ in 0...random(4) {
                    let place = random(scalars.count)
                    switch random(3) {
                    case 0: scalars[place] = pool[random(pool.count)]
                    case 1: scalars.remove(at: place)
                    default: scalars.insert(pool[random(pool.count)], at: place)
                    }
                }
                var text = String.UnicodeScalarView()
                text.append(contentsOf: scalars)
                let template = try? ChatTemplate(String(text))
                _ = try? template?.render(
                    messages: [["role": "user", "content": "x"], ["role": "assistant", "content": "y"]])
            }
        }
    }
}
