import Files

/// Values for some modules, by name or regular expression: PEFT's `rank_pattern` and `alpha_pattern`.
///
/// A key fits a module whose path it matches in full, or from after a dot to the end: `(.*\.)?(key)$`. The first key that fits counts.
public struct ModuleTable<Value: Hashable & Sendable>: Hashable, Sendable {
    /// A key and what it stands for.
    public struct Row: Hashable, Sendable {
        /// A module's name, the end of its path, or a regular expression for either.
        public var key: String
        /// The value of the modules that it fits.
        public var value: Value

        /// Makes a row.
        public init(key: String, value: Value) {
            self.key = key
            self.value = value
        }
    }

    /// The rows in order.
    public var rows: [Row]

    /// Makes a table; empty by default.
    public init(_ rows: [Row] = []) { self.rows = rows }

    /// Looks modules up.
    ///
    /// - Parameters:
    ///   - paths: the modules.
    ///   - key: where the table stands, for messages.
    ///   - strict: whether a row that fits none of the paths is an error, as in a recipe, where it is a misspelling.
    /// - Returns: the value of each path that a key fits.
    /// - Throws: `InputError` where a key is no valid regular expression.
    func values(for paths: [String], key: String, strict: Bool) throws -> [String: Value] {
        let patterns = try rows.map { try RegularExpression(#"(.*\.)?(\#($0.key))$"#, source: $0.key, key: key) }
        var found: [String: Value] = [:]
        var used: Set<Int> = []
        for path in paths {
            let fitting = try patterns.indices.filter { try patterns[$0].matchesStart(of: path) }
            used.formUnion(fitting)
            found[path] = fitting.first.map { rows[$0].value }
        }
        if strict, let idle = rows.indices.first(where: { !used.contains($0) }) {
            var seen: Set<Substring> = []
            let names = paths.compactMap { $0.split(separator: ".").last }.filter { seen.insert($0).inserted }
                .map(String.init)
            throw InputError(
                "`\(key)`: \"\(rows[idle].key)\" fits none of the adapted modules",
                hint: nearestName(to: rows[idle].key, among: names).map { "Did you mean \($0)?" }
                    ?? "Those are \(names.joined(separator: ", "))")
        }
        return found
    }

    /// A table that means the same after its keys have been sorted, as they are in a saved file.
    ///
    /// Where sorting would put another key first for some module, each module gets a row of its own.
    func sorted(for paths: [String], key: String) throws -> ModuleTable {
        let ordered = ModuleTable(rows.sorted { $0.key < $1.key })
        let wanted = try values(for: paths, key: key, strict: false)
        guard try ordered.values(for: paths, key: key, strict: false) != wanted else { return ordered }
        return ModuleTable(
            wanted.sorted { $0.key < $1.key }.map { path, value in
                Row(key: path.replacing(".", with: #"\."#), value: value)
            })
    }
}
