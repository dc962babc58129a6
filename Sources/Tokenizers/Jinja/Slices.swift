import Files

/// Python's slices and indices.
enum Slices {
    /// `value[start:stop:step]`.
    static func slice(
        _ value: Value, _ start: Value?, _ stop: Value?, _ step: Value?, _ interpreter: Interpreter
    ) throws -> Value {
        let (start, stop, step) = (try bound(start), try bound(stop), try bound(step) ?? 1)
        guard step != 0 else { throw InputError("the step of a slice must not be 0") }
        switch value {
        case .list(let list):
            try interpreter.budget.spend(list.items.count >> 3)
            return try .makeList(pick(list.items, start, stop, step))
        case .tuple(let list):
            try interpreter.budget.spend(list.items.count >> 3)
            return try .makeTuple(pick(list.items, start, stop, step))
        case .string(let text), .markup(let text):
            try interpreter.budget.spend(bytes: text.utf8.count * 8)
            var picked = String.UnicodeScalarView()
            picked.append(contentsOf: pick(Array(text.unicodeScalars), start, stop, step))
            return .string(String(picked))
        default:
            if value.isUndefined { throw value.fault("") }
            return .undefined("the slice")
        }
    }

    private static func bound(_ value: Value?) throws -> Int? {
        guard let value, !value.isNone else { return nil }
        guard let number = value.integer else { throw value.fault("a slice needs integers, not \(value.typeName)") }
        return number
    }

    private static func pick<Element>(_ items: [Element], _ start: Int?, _ stop: Int?, _ step: Int) -> [Element] {
        let count = items.count
        func clamp(_ index: Int, _ low: Int, _ high: Int) -> Int {
            min(max(index < 0 ? index &+ count : index, low), high)
        }
        if step > 0 {
            let first = start.map { clamp($0, 0, count) } ?? 0
            let last = stop.map { clamp($0, 0, count) } ?? count
            guard first < last else { return [] }
            return step == 1
                ? Array(items[first..<last]) : stride(from: first, to: last, by: min(step, count + 1)).map { items[$0] }
        }
        let first = start.map { clamp($0, -1, count - 1) } ?? count - 1
        let last = stop.map { clamp($0, -1, count - 1) } ?? -1
        return stride(from: first, to: last, by: max(step, -count - 1)).map { items[$0] }
    }

    /// One character of a text, counted from the end when negative.
    static func character(of text: String, at position: Int) -> Value? {
        let scalars = text.unicodeScalars
        let count = scalars.count
        let offset = position < 0 ? position &+ count : position
        guard offset >= 0, offset < count else { return nil }
        return .string(String(Character(scalars[scalars.index(scalars.startIndex, offsetBy: offset)])))
    }
}
