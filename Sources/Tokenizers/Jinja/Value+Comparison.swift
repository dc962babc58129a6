import Files

extension Value: Hashable {
    /// Python's `==`: numbers by value whatever their type, strings by their characters, lists and dictionaries by content.
    static func == (a: Value, b: Value) -> Bool {
        switch (a, b) {
        case (.string(let x), .string(let y)), (.string(let x), .markup(let y)), (.markup(let x), .string(let y)),
            (.markup(let x), .markup(let y)):
            return PythonText.areEqual(x, y)
        case (.undefined, .undefined), (.none, .none): return true
        case (.int(let x), .int(let y)): return x == y
        case (.list(let x), .list(let y)), (.tuple(let x), .tuple(let y)): return x === y || x.items == y.items
        case (.dict(let x), .dict(let y)):
            guard x !== y else { return true }
            return x.members.count == y.members.count && x.members.allSatisfy { y.members[$0.key] == $0.value }
        case (.object(let x), .object(let y)): return x === y
        default:
            guard let x = a.number, let y = b.number else { return false }
            return x == y
        }
    }

    func hash(into hasher: inout Hasher) {
        switch self {
        case .string(let text), .markup(let text): hasher.combine(text)
        case .undefined, .none: hasher.combine(0)
        case .bool, .int, .float: hasher.combine(number)
        case .list(let list), .tuple(let list): hasher.combine(list.items)
        case .dict(let dict): hasher.combine(dict.members.count)
        case .object(let object): hasher.combine(ObjectIdentifier(object))
        }
    }

    /// Whether Python lets it be a dictionary key or a member of a set.
    var isHashable: Bool {
        switch self {
        case .list, .dict: false
        case .tuple(let list): list.items.allSatisfy(\.isHashable)
        default: true
        }
    }

    /// How many values a comparison or a print of it visits, for the budget; long strings count too.
    var weight: Int {
        switch self {
        case .list(let list), .tuple(let list): list.weight
        case .dict(let dict): dict.weight
        case .string(let text), .markup(let text): 1 + text.utf8.count / 64
        default: 1
        }
    }

    /// Python's `a < b`; an error between types that have no order.
    static func isLess(_ a: Value, _ b: Value) throws -> Bool {
        switch (a, b) {
        case (.int(let x), .int(let y)): return x < y
        case (.list(let x), .list(let y)), (.tuple(let x), .tuple(let y)):
            for (left, right) in zip(x.items, y.items) where left != right { return try isLess(left, right) }
            return x.items.count < y.items.count
        default:
            if let x = a.number, let y = b.number { return x < y }
            if let x = a.string, let y = b.string { return x.utf8.lexicographicallyPrecedes(y.utf8) }
            if a.isUndefined { throw a.fault("") }
            throw b.fault("'<' is not supported between \(a.typeName) and \(b.typeName)")
        }
    }

    /// The items in order, sorted stably.
    static func sorted(_ items: [Value], by key: (Value) throws -> Value, reverse: Bool = false) throws -> [Value] {
        let keyed = try items.enumerated().map { (index: $0.offset, key: try key($0.element), item: $0.element) }
        let ordered = try keyed.sorted { a, b in
            if try isLess(reverse ? b.key : a.key, reverse ? a.key : b.key) { return true }
            if try isLess(reverse ? a.key : b.key, reverse ? b.key : a.key) { return false }
            return a.index < b.index
        }
        return ordered.map(\.item)
    }
}
