import Files

/// Rewrites a regular expression from Oniguruma's syntax, which `tokenizers` uses, into PCRE2's where the two differ.
///
/// - `\s` is White_Space (PCRE2's also has U+180E); `\w`, and with it `\b`, has marks, connectors and the superscripts and
///   fractions of Latin-1; `\h` is a hexadecimal digit; `[:alpha:]` is Alphabetic;
/// - `\p{Han}` is the script, not the script's extensions.
///
/// What has no exact counterpart (class intersection, nested classes, `\W` inside a class) is an error, never another meaning.
enum PatternSyntax {
    private static let word = #"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}"#
    private static let posixClasses = [
        ":alpha:]": #"\p{Alphabetic}"#, ":digit:]": #"\p{Nd}"#, ":space:]": #"\p{White_Space}"#,
        ":upper:]": #"\p{Uppercase}"#, ":lower:]": #"\p{Lowercase}"#,
    ]
    private static let scripts: Set<String> = [
        "Arabic", "Armenian", "Bengali", "Bopomofo", "Common", "Cyrillic", "Devanagari", "Ethiopic", "Georgian",
        "Greek",
        "Gujarati", "Gurmukhi", "Han", "Hangul", "Hebrew", "Hiragana", "Inherited", "Kannada", "Katakana", "Khmer",
        "Lao",
        "Latin", "Malayalam", "Mongolian", "Myanmar", "Oriya", "Sinhala", "Syriac", "Tamil", "Telugu", "Thaana", "Thai",
        "Tibetan",
    ]

    /// The pattern in PCRE2's syntax.
    static func translated(_ source: String) throws -> String {
        var translator = Translator(rest: Substring(source).unicodeScalars[...], source: source)
        return try translator.run()
    }

    private struct Translator {
        var rest: Substring.UnicodeScalarView
        let source: String
        var out = ""
        var inClass = false

        mutating func run() throws -> String {
            while let scalar = rest.popFirst() {
                switch scalar {
                case "\\": try escape()
                case "[" where !inClass: openClass()
                case "[": try openInsideClass()
                case "]" where inClass:
                    inClass = false
                    out += "]"
                case "&" where inClass && rest.first == "&": throw unsupported("an intersection of classes (&&)")
                default: out.unicodeScalars.append(scalar)
                }
            }
            return out
        }

        private mutating func openClass() {
            inClass = true
            out += "["
            if rest.first == "^" { out.unicodeScalars.append(rest.removeFirst()) }
            // A closing bracket that stands first is a member.
            if rest.first == "]" {
                rest.removeFirst()
                out += #"\]"#
            }
        }

        private mutating func openInsideClass() throws {
            guard rest.first == ":" else { throw unsupported("a class inside a class") }
            guard let known = posixClasses.first(where: { rest.starts(with: $0.key.unicodeScalars) }) else {
                throw unsupported("a named class other than alpha, digit, space, upper and lower")
            }
            rest.removeFirst(known.key.unicodeScalars.count)
            out += known.value
        }

        private mutating func escape() throws {
            guard let escaped = rest.popFirst() else { throw unsupported("a lone backslash at the end") }
            switch escaped {
            case "s": out += #"\p{White_Space}"#
            case "S": out += #"\P{White_Space}"#
            case "w": out += inClass ? word : "[\(word)]"
            case "W" where !inClass: out += "[^\(word)]"
            case "b" where !inClass: out += "(?:(?<=[\(word)])(?![\(word)])|(?<![\(word)])(?=[\(word)]))"
            case "B" where !inClass: out += "(?:(?<=[\(word)])(?=[\(word)])|(?<![\(word)])(?![\(word)]))"
            case "h": out += inClass ? "0-9a-fA-F" : "[0-9a-fA-F]"
            case "W", "H", "X", "R", "K", "G", "Q", "E", "M", "C", "g", "k", "y", "Y", "N", "O":
                throw unsupported("\\\(escaped)\(inClass ? " inside a class" : "")")
            case "p", "P": property(escaped)
            default:
                out += "\\"
                out.unicodeScalars.append(escaped)
            }
        }

        private mutating func property(_ letter: Unicode.Scalar) {
            out += "\\"
            out.unicodeScalars.append(letter)
            guard rest.first == "{", let end = rest.firstIndex(of: "}") else { return }
            var name = String(rest[rest.index(after: rest.startIndex)..<end])
            rest = rest[rest.index(after: end)...]
            let negated = name.hasPrefix("^")
            if negated { name.removeFirst() }
            out += "{\(negated ? "^" : "")\(scripts.contains(name) ? "sc:" : "")\(name)}"
        }

        private func unsupported(_ what: String) -> InputError {
            InputError("the regular expression \(quoted(source)) uses \(what), which is not supported")
        }
    }
}
