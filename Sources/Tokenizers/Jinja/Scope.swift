/// The variables of one loop iteration, macro call or block; few, so a list searched from its start beats a dictionary.
final class Scope {
    let parent: Scope?
    private var names: [NameIndex] = []
    private var values: [Value] = []
    /// Whether a macro defined here holds on to this scope.
    var isCaptured = false

    init(parent: Scope?) { self.parent = parent }

    subscript(name: NameIndex) -> Value? {
        for index in names.indices where names[index] == name { return values[index] }
        return nil
    }

    func set(_ name: NameIndex, _ value: Value) {
        if let index = names.firstIndex(of: name) {
            values[index] = value
        } else {
            names.append(name)
            values.append(value)
        }
    }

    func clear() {
        names.removeAll(keepingCapacity: true)
        values.removeAll(keepingCapacity: true)
    }
}
