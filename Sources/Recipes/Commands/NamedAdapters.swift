import Files
import Foundation

/// An adapter's folder under the name that it is asked for by.
public struct NamedAdapter: Hashable, Sendable {
    /// The name: of its own, or the folder's.
    public var name: String
    /// The folder.
    public var path: String

    /// The name that means no adapter.
    public static let none = "none"

    /// Reads `name=folder`, or a folder alone, whose last part is then the name.
    ///
    /// - Throws: ``InputError`` for a name that could not be asked for.
    public init(_ text: String) throws {
        let isFolder = if case .folder = PathKind(text) { true } else { false }
        guard !isFolder, let mark = text.firstIndex(of: "=") else {
            self.init(name: Self.lastPart(of: text), path: text)
            return
        }
        let name = String(text[..<mark])
        guard !name.isEmpty, name != Self.none, !name.contains(where: { $0.isWhitespace || $0 == "+" || $0 == "/" })
        else {
            throw InputError(
                "\"\(name)\" cannot be an adapter's name: it is not empty, not \"\(Self.none)\", and has no space, + or /"
            )
        }
        self.init(name: name, path: String(text[text.index(after: mark)...]))
    }

    /// Makes a pair.
    public init(name: String, path: String) {
        self.name = name
        self.path = path
    }

    /// Reads several.
    ///
    /// - Throws: ``InputError`` for a name that could not be asked for, or that two have.
    public static func reading(_ texts: [String]) throws -> [NamedAdapter] {
        let adapters = try texts.map(NamedAdapter.init)
        var seen: Set<String> = []
        if let twice = adapters.first(where: { !seen.insert($0.name).inserted }) {
            throw InputError(
                "two adapters are named \(twice.name)", file: twice.path, hint: "Give one another name: name=folder")
        }
        return adapters
    }

    private static func lastPart(of path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }
}

/// The adapters that are on a model, and which of them are active.
struct AdapterStack {
    /// The names that can be asked for.
    let names: [String]
    /// The names of those that are active, in the order in which they apply.
    private(set) var active: [String]
    /// Under which each is on the model.
    private let slots: [String: String]

    /// Adapters that are on a model; all are active.
    ///
    /// - Parameters:
    ///   - names: their names.
    ///   - slots: under which they are attached, in the same order.
    init(_ names: [String], slots: [String]) {
        self.names = names
        active = names
        self.slots = Dictionary(zip(names, slots), uniquingKeysWith: { first, _ in first })
    }

    /// What a context makes active.
    var activeSlots: [String] { active.compactMap { slots[$0] } }

    /// Makes some adapters active, and no other.
    ///
    /// - Parameter stack: a name, several with `+` between them in the order in which they apply, or `none`.
    /// - Throws: ``InputError`` naming the nearest adapter; what was active is then still so.
    mutating func activate(_ stack: String) throws { active = try parts(of: stack) }

    private func parts(of stack: String) throws -> [String] {
        if names.contains(stack) { return [stack] }
        if stack == NamedAdapter.none { return [] }
        var parts: [String] = []
        for part in stack.split(separator: "+", omittingEmptySubsequences: false) {
            let name = part.trimmingCharacters(in: .whitespaces)
            guard names.contains(name) else {
                let near = nearestName(to: name, among: names).map { "Did you mean \($0)? " } ?? ""
                let known = names.isEmpty ? "None is loaded" : "Loaded are \(names.joined(separator: ", "))"
                throw InputError("there is no adapter \"\(name)\"", hint: near + known)
            }
            guard !parts.contains(name) else { throw InputError("\"\(name)\" stands twice in \(stack)") }
            parts.append(name)
        }
        return parts
    }
}
