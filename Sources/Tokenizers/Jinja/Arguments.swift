import Files

/// The evaluated arguments of one call.
struct Arguments {
    var positional: [Value] = []
    var keyword: [(name: String, value: Value)] = []

    /// The arguments by parameter name, as Python binds them; missing ones are absent, surplus ones an error.
    func bind(_ parameters: String..., to function: String) throws -> Bound {
        guard positional.count <= parameters.count else {
            throw InputError(
                "'\(function)' takes at most \(parameters.count) arguments, \(positional.count) were given")
        }
        var values = [Value?](repeating: nil, count: parameters.count)
        for (index, value) in positional.enumerated() { values[index] = value }
        for (name, value) in keyword {
            guard let index = parameters.firstIndex(of: name) else {
                let nearest = nearestName(to: name, among: parameters)
                throw InputError(
                    "'\(function)' has no argument '\(name)'", hint: nearest.map { "Did you mean '\($0)'?" })
            }
            guard values[index] == nil else { throw InputError("'\(function)' got the argument '\(name)' twice") }
            values[index] = value
        }
        return Bound(function: function, parameters: parameters, values: values)
    }

    /// Fails if there is any argument.
    func expectNone(for function: String) throws { _ = try bind(to: function) }

    /// Arguments bound to parameters, read by index.
    struct Bound {
        let function: String
        let parameters: [String]
        let values: [Value?]

        subscript(_ index: Int) -> Value? { values[index] }

        func required(_ index: Int) throws -> Value {
            guard let value = values[index] else {
                throw InputError("'\(function)' needs the argument '\(parameters[index])'")
            }
            return value
        }

        func string(_ index: Int) throws -> String {
            let value = try required(index)
            guard let text = value.string else { throw wrongType(value, index, "a string") }
            return text
        }

        func string(_ index: Int, default standard: String) throws -> String {
            values[index] == nil ? standard : try string(index)
        }

        func integer(_ index: Int, default standard: Int) throws -> Int {
            guard let value = values[index] else { return standard }
            guard let number = value.integer else { throw wrongType(value, index, "an integer") }
            return number
        }

        func flag(_ index: Int, default standard: Bool = false) -> Bool { values[index]?.isTrue ?? standard }

        private func wrongType(_ value: Value, _ index: Int, _ wanted: String) -> InputError {
            value.fault("the argument '\(parameters[index])' of '\(function)' must be \(wanted), not \(value.typeName)")
        }
    }
}
