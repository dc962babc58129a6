import Files

extension Filters {
    static let ofText: [String: FilterFunction] = [
        "string": { value, _, interpreter in value.string == nil ? .string(try value.text(interpreter.budget)) : value
        },
        "safe": { value, _, interpreter in .markup(try value.text(interpreter.budget)) },
        "escape": escape, "e": escape, "forceescape": escape,
        "tojson": JSONText.filter,
        "trim": { value, arguments, interpreter in
            let bound = try arguments.bind("chars", to: "trim")
            let text = try value.text(interpreter.budget)
            try interpreter.budget.spend(bytes: text.utf8.count)
            let characters = bound[0].map(\.isNone) ?? true ? nil : try bound.string(0)
            let stripped = PythonText.strip(text, characters)
            if case .markup = value { return .markup(stripped) }
            return .string(stripped)
        },
        "upper": mapping { $0.uppercased() },
        "lower": mapping { $0.lowercased() },
        "capitalize": mapping(PythonText.capitalize),
        "title": mapping(title),
        "replace": { value, arguments, interpreter in
            let bound = try arguments.bind("old", "new", "count", to: "replace")
            let budget = interpreter.budget
            return .string(
                try StringMethods.replace(
                    try value.text(budget), try bound.required(0).text(budget), try bound.required(1).text(budget),
                    count: try bound[2].map { $0.isNone ? -1 : try bound.integer(2, default: -1) } ?? -1, budget))
        },
        "format": { value, arguments, interpreter in
            let values =
                arguments.keyword.isEmpty
                ? try Value.makeTuple(arguments.positional)
                : try .makeDict(.init(arguments.keyword.map { (.string($0.name), $0.value) }, uniquingKeysWith: { $1 }))
            return .string(try PercentFormat.format(try value.text(interpreter.budget), values, interpreter))
        },
        "indent": indent,
        "center": { value, arguments, interpreter in
            let width = max(0, try arguments.bind("width", to: "center").integer(0, default: 80))
            let text = try value.text(interpreter.budget)
            let missing = width - text.unicodeScalars.count
            guard missing > 0 else { return .string(text) }
            try interpreter.budget.allocate(1, times: width)
            return .string(
                StringMethods.center(text, missing: missing, width: width) { String(repeating: " ", count: $0) })
        },
        "wordcount": { value, _, interpreter in
            let text = try value.text(interpreter.budget)
            try interpreter.budget.spend(bytes: text.utf8.count)
            let words = text.unicodeScalars.split {
                !($0 == "_" || $0.properties.isAlphabetic || $0.properties.numericType != nil)
            }
            return .int(words.count)
        },
    ]

    private static let escape: FilterFunction = { value, _, interpreter in
        if case .markup = value { return value }
        return .markup(try Escaping.escape(try value.text(interpreter.budget), interpreter.budget))
    }

    /// A filter that maps the text of any value to another text.
    private static func mapping(_ transform: @escaping @Sendable (String) -> String) -> FilterFunction {
        { value, _, interpreter in
            let text = try value.text(interpreter.budget)
            try interpreter.budget.spend(bytes: text.utf8.count * 4)
            return .string(transform(text))
        }
    }

    /// Jinja's own title case: words end at white space, hyphens and opening brackets only.
    @Sendable private static func title(_ text: String) -> String {
        var out = ""
        var atStart = true
        for scalar in text.unicodeScalars {
            let separates = PythonText.isSpace(scalar) || "-({[<".unicodeScalars.contains(scalar)
            out += atStart ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
            atStart = separates
        }
        return out
    }

    /// `indent(width=4, first=False, blank=False)`; the width may be a string to put before each line.
    private static let indent: FilterFunction = { value, arguments, interpreter in
        let bound = try arguments.bind("width", "first", "blank", to: "indent")
        let prefix: String
        if let text = bound[0]?.string {
            prefix = text
        } else {
            let width = max(0, try bound.integer(0, default: 4))
            try interpreter.budget.check(bytes: width)
            prefix = String(repeating: " ", count: width)
        }
        let text = try value.text(interpreter.budget)
        let lines = PythonText.lines(text + "\n")
        try interpreter.budget.allocate(prefix.utf8.count, times: lines.count)
        try interpreter.budget.allocate(text.utf8.count)
        let rest = lines.dropFirst().map { $0.isEmpty && !bound.flag(2) ? $0 : prefix + $0 }
        let indented = ([lines.first ?? ""] + rest).joined(separator: "\n")
        return .string(bound.flag(1) ? prefix + indented : indented)
    }
}
