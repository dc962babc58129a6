import Files

/// The methods of Python's `str`.
enum StringMethods {
    static func call(
        _ name: String, on text: String, _ arguments: Arguments, _ interpreter: Interpreter
    ) throws -> Value? {
        switch name {
        case "strip", "lstrip", "rstrip": return .string(try strip(name, text, arguments))
        case "split", "rsplit": return try split(name, text, arguments)
        case "startswith", "endswith": return .bool(try hasAffix(name, text, arguments))
        case "replace":
            let bound = try arguments.bind("old", "new", "count", to: name)
            let (old, new) = (try bound.string(0), try bound.string(1))
            return .string(try replace(text, old, new, count: try bound.integer(2, default: -1), interpreter.budget))
        case "splitlines":
            let bound = try arguments.bind("keepends", to: name)
            return try .makeList(PythonText.lines(text, keepingEnds: bound.flag(0)).map(Value.string))
        case "join": return .string(try join(text, arguments, interpreter))
        case "format": return .string(try BraceFormat.format(text, arguments, interpreter))
        case "find", "rfind", "index", "rindex", "count": return try search(name, text, arguments)
        case "partition", "rpartition": return try partition(name, text, arguments)
        case "removeprefix", "removesuffix": return .string(try removeAffix(name, text, arguments))
        case "center", "ljust", "rjust", "zfill": return .string(try pad(name, text, arguments, interpreter.budget))
        default:
            try arguments.expectNone(for: name)
            return recased(name, text) ?? classified(name, text)
        }
    }

    // MARK: Case and character classes

    private static func recased(_ name: String, _ text: String) -> Value? {
        switch name {
        case "upper": .string(text.uppercased())
        case "lower", "casefold": .string(text.lowercased())
        case "capitalize": .string(PythonText.capitalize(text))
        case "title": .string(PythonText.title(text))
        case "swapcase":
            .string(
                text.unicodeScalars.map {
                    $0.properties.isUppercase ? $0.properties.lowercaseMapping : $0.properties.uppercaseMapping
                }.joined())
        default: nil
        }
    }

    private static func classified(_ name: String, _ text: String) -> Value? {
        let scalars = text.unicodeScalars
        func all(_ holds: (Unicode.Scalar) -> Bool) -> Value { .bool(!scalars.isEmpty && scalars.allSatisfy(holds)) }
        func isNumeric(_ scalar: Unicode.Scalar, _ types: [Unicode.NumericType]) -> Bool {
            scalar.properties.numericType.map(types.contains) ?? false
        }
        func isLetter(_ scalar: Unicode.Scalar) -> Bool {
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
            default: false
            }
        }
        switch name {
        case "isdigit": return all { isNumeric($0, [.decimal, .digit]) }
        case "isdecimal": return all { isNumeric($0, [.decimal]) }
        case "isnumeric": return all { $0.properties.numericType != nil }
        case "isalpha": return all(isLetter)
        case "isalnum": return all { isLetter($0) || $0.properties.numericType != nil }
        case "isspace": return all(PythonText.isSpace)
        case "isupper":
            return .bool(scalars.contains(where: \.properties.isUppercase) && text == text.uppercased())
        case "islower":
            return .bool(scalars.contains(where: \.properties.isLowercase) && text == text.lowercased())
        case "istitle": return .bool(scalars.contains(where: \.properties.isCased) && text == PythonText.title(text))
        default: return nil
        }
    }

    // MARK: Cutting

    private static func strip(_ name: String, _ text: String, _ arguments: Arguments) throws -> String {
        let bound = try arguments.bind("chars", to: name)
        let characters = bound[0].map(\.isNone) ?? true ? nil : try bound.string(0)
        return PythonText.strip(text, characters, left: name != "rstrip", right: name != "lstrip")
    }

    private static func split(_ name: String, _ text: String, _ arguments: Arguments) throws -> Value {
        let bound = try arguments.bind("sep", "maxsplit", to: name)
        let given = try bound.integer(1, default: -1)
        let limit = given < 0 ? Int.max : given
        let pieces: [String]
        if bound[0].map(\.isNone) ?? true {
            pieces =
                name == "split"
                ? PythonText.splitAtSpace(text, limit: limit) : PythonText.splitAtSpaceFromBack(text, limit: limit)
        } else {
            let separator = try bound.string(0)
            guard !separator.isEmpty else { throw InputError("'\(name)' needs a separator that is not empty") }
            pieces = PythonText.split(text, by: separator, limit: limit, backwards: name == "rsplit")
        }
        return try .makeList(pieces.map(Value.string))
    }

    private static func partition(_ name: String, _ text: String, _ arguments: Arguments) throws -> Value {
        let separator = try arguments.bind("sep", to: name).string(0)
        guard !separator.isEmpty else { throw InputError("'\(name)' needs a separator that is not empty") }
        let pieces = PythonText.split(text, by: separator, limit: 1, backwards: name == "rpartition")
        if pieces.count == 2 { return try .makeTuple([.string(pieces[0]), .string(separator), .string(pieces[1])]) }
        return try .makeTuple(
            name == "partition"
                ? [.string(text), .string(""), .string("")] : [.string(""), .string(""), .string(text)])
    }

    // MARK: Searching

    private static func hasAffix(_ name: String, _ text: String, _ arguments: Arguments) throws -> Bool {
        let bound = try arguments.bind("affix", to: name)
        let affix = try bound.required(0)
        let candidates: [Value]
        if case .tuple(let list) = affix { candidates = list.items } else { candidates = [affix] }
        return try candidates.contains { candidate in
            guard let affix = candidate.string else {
                throw candidate.fault("'\(name)' needs a string or a tuple of strings, not \(candidate.typeName)")
            }
            return name == "startswith"
                ? text.utf8.starts(with: affix.utf8) : text.utf8.reversed().starts(with: affix.utf8.reversed())
        }
    }

    private static func removeAffix(_ name: String, _ text: String, _ arguments: Arguments) throws -> String {
        let affix = try arguments.bind("affix", to: name).string(0)
        guard try hasAffix(name == "removeprefix" ? "startswith" : "endswith", text, arguments) else { return text }
        let kept = Array(text.utf8)
        return name == "removeprefix"
            ? String(decoding: kept.dropFirst(affix.utf8.count), as: UTF8.self)
            : String(decoding: kept.dropLast(affix.utf8.count), as: UTF8.self)
    }

    /// `find`, `rfind`, `index`, `rindex` and `count`, with optional bounds in characters.
    private static func search(_ name: String, _ text: String, _ arguments: Arguments) throws -> Value {
        let bound = try arguments.bind("sub", "start", "end", to: name)
        let needle = Array(try bound.string(0).utf8)
        let scalars = Array(text.unicodeScalars)
        func clamp(_ index: Int) -> Int { min(max(index < 0 ? index &+ scalars.count : index, 0), scalars.count) }
        let start = clamp(try bound.integer(1, default: 0))
        let end = clamp(try bound.integer(2, default: scalars.count))
        // Offsets in bytes of the characters, for going back and forth between the two.
        let range = start <= end ? byteOffset(scalars, start)..<byteOffset(scalars, end) : 0..<0
        let bytes = Array(text.utf8)
        if name == "count" { return .int(start <= end ? count(needle, in: bytes, range) : 0) }
        let hit = start <= end ? PythonText.find(needle, in: bytes, range, backwards: name.hasPrefix("r")) : nil
        if let hit { return .int(String(decoding: bytes[..<hit], as: UTF8.self).unicodeScalars.count) }
        guard name.hasSuffix("find") else { throw InputError("'\(name)' does not find the substring") }
        return .int(-1)
    }

    private static func byteOffset(_ scalars: [Unicode.Scalar], _ position: Int) -> Int {
        scalars[..<position].reduce(0) { $0 + UTF8.width($1) }
    }

    private static func count(_ needle: [UInt8], in bytes: [UInt8], _ range: Range<Int>) -> Int {
        guard !needle.isEmpty else { return String(decoding: bytes[range], as: UTF8.self).unicodeScalars.count + 1 }
        var (count, start) = (0, range.lowerBound)
        while let hit = PythonText.find(needle, in: bytes, start..<range.upperBound) {
            count += 1
            start = hit + needle.count
        }
        return count
    }

    // MARK: Building

    /// `text.replace(old, new, count)` within the budget; a negative count replaces all.
    static func replace(_ text: String, _ old: String, _ new: String, count: Int, _ budget: Budget) throws -> String {
        try budget.spend(bytes: text.utf8.count * 2)
        let result = PythonText.replace(text, old, new, count: count < 0 ? .max : count, limit: Budget.bytes)
        try budget.check(bytes: result?.utf8.count ?? .max)
        try budget.spend(bytes: result?.utf8.count ?? 0)
        return result ?? ""
    }

    private static func join(_ separator: String, _ arguments: Arguments, _ interpreter: Interpreter) throws -> String {
        let values = try interpreter.items(of: try arguments.bind("iterable", to: "join").required(0))
        var out = ""
        for (index, value) in values.enumerated() {
            guard let piece = value.string else {
                throw value.fault("'join' needs strings, item \(index) is \(value.typeName)")
            }
            if index > 0 { out += separator }
            out += piece
            try interpreter.budget.check(bytes: out.utf8.count)
        }
        try interpreter.budget.spend(bytes: out.utf8.count)
        return out
    }

    private static func pad(
        _ name: String, _ text: String, _ arguments: Arguments, _ budget: Budget
    ) throws -> String {
        let bound = try arguments.bind("width", "fillchar", to: name)
        _ = try bound.required(0)
        let width = try bound.integer(0, default: 0)
        let fill = name == "zfill" ? "0" : try bound.string(1, default: " ")
        guard fill.unicodeScalars.count == 1 else { throw InputError("'\(name)' needs one fill character") }
        let missing = width.subtractingReportingOverflow(text.unicodeScalars.count).partialValue
        guard missing > 0 else { return text }
        try budget.allocate(fill.utf8.count, times: missing)
        func filler(_ count: Int) -> String { String(repeating: fill, count: count) }
        switch name {
        case "ljust": return text + filler(missing)
        case "rjust": return filler(missing) + text
        case "zfill":
            let hasSign = text.hasPrefix("-") || text.hasPrefix("+")
            return hasSign ? String(text.prefix(1)) + filler(missing) + text.dropFirst() : filler(missing) + text
        default: return center(text, missing: missing, width: width, filler)
        }
    }

    /// Python puts the odd blank on the left when the width is odd.
    static func center(_ text: String, missing: Int, width: Int, _ filler: (Int) -> String) -> String {
        let left = missing / 2 + (missing & width & 1)
        return filler(left) + text + filler(missing - left)
    }
}
