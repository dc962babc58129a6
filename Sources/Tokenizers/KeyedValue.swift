import Files

/// A value of a JSON file and the way to it, read with errors that name the way.
struct KeyedValue {
    /// The value.
    let value: JSON
    /// The keys and indices that lead to it: `model.vocab`, `pre_tokenizer.pretokenizers[1]`.
    let path: String

    /// An error at this value.
    func fault(_ message: String, hint: String? = nil) -> InputError { InputError(message, place: path, hint: hint) }

    /// A member, or nil where it is absent or null.
    func optional(_ key: String) throws -> KeyedValue? {
        guard value.object != nil else { throw fault("must be an object, is \(value.kind)") }
        return value[key].map { KeyedValue(value: $0, path: path.isEmpty ? key : "\(path).\(key)") }
    }

    /// A member that must be there.
    func member(_ key: String) throws -> KeyedValue {
        guard let member = try optional(key) else { throw fault("has no “\(key)”") }
        return member
    }

    /// The value as a string.
    func string() throws -> String {
        guard let string = value.string else { throw fault("must be a string, is \(value.kind)") }
        return string
    }

    /// The value as one Unicode character.
    func character() throws -> [UInt8] {
        let string = try string()
        guard string.unicodeScalars.count == 1 else { throw fault("must be one character, is \(quoted(string))") }
        return Array(string.utf8)
    }

    /// The value as an integer in a range.
    func integer(in range: Range<Int>) throws -> Int {
        guard let integer = value.integer else { throw fault("must be an integer, is \(value.kind)") }
        guard range.contains(integer) else { throw fault("\(integer) is out of range") }
        return integer
    }

    /// The value as a boolean.
    func bool() throws -> Bool {
        guard let bool = value.bool else { throw fault("must be true or false, is \(value.kind)") }
        return bool
    }

    /// A member as a boolean, or what it is when absent.
    func bool(_ key: String, default absent: Bool) throws -> Bool { try optional(key)?.bool() ?? absent }

    /// The elements of an array.
    func elements() throws -> [KeyedValue] {
        guard let array = value.array else { throw fault("must be an array, is \(value.kind)") }
        return array.enumerated().map { KeyedValue(value: $1, path: "\(path)[\($0)]") }
    }

    /// A string as a case of an enumeration.
    func choice<Choice: RawRepresentable & CaseIterable>(_ type: Choice.Type) throws -> Choice
    where Choice.RawValue == String {
        let string = try string()
        guard let choice = Choice(rawValue: string) else {
            let known = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw fault("\(quoted(string)) is not known", hint: "known are \(known)")
        }
        return choice
    }

    /// The error for a component whose type is not known.
    func unknownType(_ kind: String, known: [String]) throws -> InputError {
        let type = try member("type").string()
        return fault(
            "the \(kind) type \(quoted(type)) is not supported", hint: "supported are \(known.joined(separator: ", "))")
    }
}
