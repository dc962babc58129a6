/// A fault in something that came from outside: a recipe, a dataset, a checkpoint, a template, an argument.
///
/// It says *what* is wrong, *where* (file, and a place in it), and the nearest valid thing where there is one. The command line
/// prints it as one sentence and exits with code 2.
public struct InputError: Error, Equatable, CustomStringConvertible {
    /// What is wrong, as a sentence without a full stop.
    public var message: String
    /// The file that holds the fault.
    public var file: String?
    /// The place in that file: a line number, a key path, a tensor name.
    public var place: String?
    /// The nearest valid thing, or what to do instead.
    public var hint: String?

    /// Makes an error; see the properties for what each part holds.
    public init(_ message: String, file: String? = nil, place: String? = nil, hint: String? = nil) {
        self.message = message
        self.file = file
        self.place = place
        self.hint = hint
    }

    /// `file: place: message. hint`, leaving out what is not known.
    public var description: String {
        let origin = [file, place].compactMap { $0 }.map { $0 + ": " }.joined()
        return origin + message + (hint.map { ". \($0)" } ?? "")
    }

    /// The same error with a file named, if it did not name one already.
    public func inFile(_ path: String) -> InputError {
        var copy = self
        copy.file = file ?? path
        return copy
    }
}

/// A run that could not go on although its input was well formed: a loss that is not finite, a disk that is full.
///
/// The command line prints it and exits with code 1.
public struct RunError: Error, Equatable, CustomStringConvertible {
    /// What happened and where, as a sentence.
    public var description: String

    /// Makes an error from its sentence.
    public init(_ description: String) { self.description = description }
}

/// The candidate closest to `name` by edit distance, if it is near enough to be a likely misspelling.
///
/// Case and the difference between `-` and `_` cost nothing. Used for "did you mean …?".
public func nearestName(to name: String, among candidates: some Sequence<String>) -> String? {
    func folded(_ text: String) -> [UInt8] {
        text.lowercased().utf8.map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "_") : $0 }
    }
    let target = folded(String(name.prefix(200)))
    let limit = max(2, target.count / 3)
    return
        candidates
        .map { (name: $0, distance: editDistance(target, folded($0))) }
        .filter { $0.distance <= limit }
        .min { ($0.distance, $0.name) < ($1.distance, $1.name) }?.name
}

/// Levenshtein distance: the fewest insertions, deletions and replacements that turn one into the other.
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for (j, y) in b.enumerated() {
            let above = row[j + 1]
            row[j + 1] = min(above + 1, row[j] + 1, diagonal + (x == y ? 0 : 1))
            diagonal = above
        }
    }
    return row[b.count]
}
