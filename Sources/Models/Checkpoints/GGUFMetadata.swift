import Files

// The metadata in the shapes that its readers want.
extension GGUFFile {
    /// The metadata as a JSON object under its own keys, without arrays of more than a thousand elements: the tokenizer's lists.
    func configuration() throws -> JSON {
        let longest = 1000
        var members: [(String, JSON)] = []
        for key in keys {
            switch metadata[key] {
            case .array(let array)? where array.count > longest: continue
            case let value?: members.append((key, try json(value, key: key)))
            case nil: continue
            }
        }
        return JSON(members: members)
    }

    private func json(_ value: GGUFValue, key: String) throws -> JSON {
        switch value {
        case .integer(let integer): .integer(integer)
        case .number(let number): .number(number)
        case .bool(let bool): .bool(bool)
        case .string(let text): .string(text)
        case .array(let array): .array(try elements(of: array, key: key).map { try json($0, key: key) })
        }
    }

    private func elements(of array: GGUFArray, key: String) throws -> [GGUFValue] {
        try withElements(of: array, key: "key '\(key)'") { cursor in
            try (0..<array.count).map { _ in try cursor.value(array.element) }
        }
    }

    private func fault(_ key: String, _ expected: String) -> InputError {
        InputError("is not \(expected)", file: path, place: "key '\(key)'")
    }

    /// The value of a key that must be a string; nil where there is no such key. The others are alike.
    func string(_ key: String) throws -> String? {
        guard let value = metadata[key] else { return nil }
        guard case .string(let text) = value else { throw fault(key, "a string") }
        return text
    }

    /// The value of a key that must be a boolean.
    func bool(_ key: String) throws -> Bool? {
        guard let value = metadata[key] else { return nil }
        guard case .bool(let bool) = value else { throw fault(key, "a boolean") }
        return bool
    }

    /// The value of a key that must be an integer of 32 bits, such as a token id.
    func int32(_ key: String) throws -> Int32? {
        guard let value = metadata[key] else { return nil }
        guard case .integer(let integer) = value, let integer = Int32(exactly: integer) else {
            throw fault(key, "an integer of 32 bits")
        }
        return integer
    }

    /// The elements of a key that must be an array of strings.
    func strings(_ key: String) throws -> [String]? {
        guard let value = metadata[key] else { return nil }
        guard case .array(let array) = value, array.element == .string else { throw fault(key, "a list of strings") }
        return try withElements(of: array, key: "key '\(key)'") { cursor in
            try (0..<array.count).map { _ in try cursor.string() }
        }
    }

    /// The elements of a key that must be an array of numbers.
    func floats(_ key: String) throws -> [Float]? {
        guard let value = metadata[key] else { return nil }
        guard case .array(let array) = value else { throw fault(key, "a list of numbers") }
        return try elements(of: array, key: key).map { element in
            switch element {
            case .number(let number): Float(number)
            case .integer(let integer): Float(integer)
            default: throw fault(key, "a list of numbers")
            }
        }
    }

    /// The elements of a key that must be an array of integers of 32 bits.
    func int32s(_ key: String) throws -> [Int32]? {
        guard let value = metadata[key] else { return nil }
        guard case .array(let array) = value else { throw fault(key, "a list of integers") }
        return try elements(of: array, key: key).map { element in
            guard case .integer(let integer) = element, let integer = Int32(exactly: integer) else {
                throw fault(key, "a list of integers of 32 bits")
            }
            return integer
        }
    }
}
