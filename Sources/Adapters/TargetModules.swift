import Files
import Layers

/// Modules named in one of PEFT's two ways.
public enum ModuleNames: Hashable, Sendable {
    /// Modules whose path is one of these, or ends in a dot and one of these.
    case list([String])
    /// Modules whose whole path matches a regular expression.
    case expression(String)
}

/// Which linear layers of a model get an adapter: PEFT's `target_modules`, `exclude_modules`, `layers_to_transform` and
/// `layers_pattern`, by PEFT's rules.
public struct TargetModules: Hashable, Sendable {
    /// What is adapted before anything is left out.
    public enum Selection: Hashable, Sendable {
        /// Every linear layer but the output head.
        case allLinear
        /// The modules named.
        case only(ModuleNames)
    }

    /// `target_modules`.
    public var include: Selection
    /// `exclude_modules`: what is left out of those.
    public var exclude: ModuleNames?
    /// `layers_to_transform`: decoder layers from 0; nil for all. A module listed by its whole path is adapted whatever its layer.
    public var layers: [Int]?
    /// `layers_pattern`: the names of the list of layers in module paths; empty for any.
    public var layersPattern: [String]

    /// Makes a selection; by default every linear layer but the head.
    public init(
        _ include: Selection = .allLinear, exclude: ModuleNames? = nil, layers: [Int]? = nil,
        layersPattern: [String] = []
    ) {
        self.include = include
        self.exclude = exclude
        self.layers = layers
        self.layersPattern = layersPattern
    }
}

/// A linear layer with its path in the model.
typealias NamedLinear = (path: String, layer: Linear)

/// A model's modules as a method sees them: without adapters and what is inside those.
public struct AdaptableModules {
    /// The paths of all modules.
    let paths: [String]
    /// Those with a slot, whatever it takes.
    let adaptable: [(path: String, module: any AdaptableModule)]
    /// The linear layers among them.
    let linears: [NamedLinear]

    /// The path of the output head, which `all-linear` leaves out; a score head takes its place in a reward model.
    static let heads: Set<String> = ["lm_head", "score"]

    /// The modules of a model.
    public init(_ model: any Module) {
        var paths: [String] = []
        var adaptable: [(path: String, module: any AdaptableModule)] = []
        var adapter: String?
        for (path, module) in model.modules() where !path.isEmpty {
            if let adapter, path.hasPrefix(adapter) { continue }
            if module is any Adapter {
                adapter = path + "."
                continue
            }
            paths.append(path)
            if let module = module as? any AdaptableModule { adaptable.append((path, module)) }
        }
        self.paths = paths
        self.adaptable = adaptable
        linears = adaptable.compactMap { path, module in (module as? Linear).map { (path, $0) } }
    }

    /// The last parts of the linear layers' paths, such as `q_proj`, in order.
    var names: [String] {
        var seen: Set<Substring> = []
        return linears.compactMap { $0.path.split(separator: ".").last }.filter { seen.insert($0).inserted }
            .map(String.init)
    }
}

extension TargetModules {
    /// Finds the linear layers that are adapted.
    ///
    /// - Parameters:
    ///   - modules: those of the model.
    ///   - strict: whether a name in a list that fits no module is an error, as in a recipe, where it is a misspelling. In a saved adapter
    ///     it does no harm: its tensors say what it adapts.
    /// - Returns: the layers, in the model's order.
    /// - Throws: `InputError` where a pattern is invalid, a module that is no linear layer is named, or nothing is left.
    func matching(_ modules: AdaptableModules, strict: Bool) throws -> [NamedLinear] {
        let found = Set(try paths(in: modules, among: Set(modules.linears.map(\.path)), strict: strict))
        return modules.linears.filter { found.contains($0.path) }
    }

    /// The paths of what is adapted, in the model's order; see ``matching(_:strict:)``.
    ///
    /// - Parameters:
    ///   - modules: those of the model.
    ///   - adaptable: the modules that the method can adapt.
    ///   - strict: whether a name that fits no module is an error.
    /// - Returns: the paths.
    /// - Throws: `InputError`.
    func paths(in modules: AdaptableModules, among adaptable: Set<String>, strict: Bool) throws -> [String] {
        let matcher = try ModuleMatcher(self)
        let candidates = include == .allLinear ? modules.linears.map(\.path) : modules.paths
        let found = Set(try candidates.filter(matcher.adapts))
        if let other = candidates.first(where: { found.contains($0) && !adaptable.contains($0) }) {
            throw InputError(
                "`target_modules` names \(other), which is no linear layer",
                hint: "The linear layers are \(modules.names.joined(separator: ", "))")
        }
        if strict {
            if case .only(.list(let names)) = include { try check(names, of: "target_modules", modules) }
            if case .list(let names) = exclude { try check(names, of: "exclude_modules", modules) }
        }
        guard !found.isEmpty else { throw nothingFound(modules) }
        return candidates.filter(found.contains)
    }

    /// The names that stand for this selection in a file: `all-linear` becomes the shortest ends of paths that no other module has, since
    /// PEFT's loader knows the word but other programs' loaders do not.
    func saved(for modules: AdaptableModules) -> ModuleNames {
        guard case .only(let names) = include else {
            let targets = modules.linears.map(\.path).filter { !AdaptableModules.heads.contains($0) }
            return .list(minimalSuffixes(of: targets, apartFrom: modules.paths.filter { !targets.contains($0) }))
        }
        return names
    }

    private func check(_ names: [String], of key: String, _ modules: AdaptableModules) throws {
        for name in names where !modules.paths.contains(where: { isNamed($0, name) }) {
            throw InputError("`\(key)`: no module is named \(name)", hint: Self.suggestion(name, modules))
        }
    }

    private func nothingFound(_ modules: AdaptableModules) -> InputError {
        let asked: String
        switch include {
        case .allLinear: asked = "all-linear"
        case .only(.list(let names)): asked = "[\(names.joined(separator: ", "))]"
        case .only(.expression(let pattern)): asked = "\"\(pattern)\""
        }
        let narrowed =
            (exclude == nil ? [] : ["`exclude_modules`"]) + (layers == nil ? [] : ["`layers_to_transform`"])
        let rest = narrowed.isEmpty ? "" : " after " + narrowed.joined(separator: " and ")
        var hint = "The linear layers are \(modules.names.joined(separator: ", "))"
        if case .only(.list(let names)) = include, let name = names.first { hint = Self.suggestion(name, modules) }
        return InputError("`target_modules`: \(asked) matches no module of the model\(rest)", hint: hint)
    }

    private static func suggestion(_ name: String, _ modules: AdaptableModules) -> String {
        let known = "The linear layers are \(modules.names.joined(separator: ", "))"
        let nearest = nearestName(to: name, among: modules.names)
        return (nearest.map { $0 == name ? "" : "Did you mean \($0)? " } ?? "") + known
    }
}

/// PEFT's suffix rule.
func isNamed(_ path: String, _ name: String) -> Bool { path == name || path.hasSuffix("." + name) }

/// The shortest ends of paths that cover all targets and none of the others, sorted.
func minimalSuffixes(of targets: [String], apartFrom others: [String]) -> [String] {
    func suffixes(_ path: String) -> [String] {
        let parts = path.split(separator: ".")
        return parts.indices.reversed().map { parts[$0...].joined(separator: ".") }
    }
    let taken = Set(others.flatMap(suffixes))
    var chosen: Set<String> = []
    for path in targets.sorted() where !chosen.contains(where: { isNamed(path, $0) }) {
        chosen.insert(suffixes(path).first { !taken.contains($0) } ?? path)
    }
    return chosen.sorted()
}

/// A selection with its patterns compiled.
private struct ModuleMatcher {
    private let target: TargetModules
    private let include: RegularExpression?
    private let exclude: RegularExpression?
    private let layerIndex: [RegularExpression]

    init(_ target: TargetModules) throws {
        self.target = target
        include =
            if case .only(.expression(let pattern)) = target.include {
                try RegularExpression(pattern, key: "target_modules")
            } else { nil }
        exclude =
            if case .expression(let pattern) = target.exclude {
                try RegularExpression(pattern, key: "exclude_modules")
            } else { nil }
        // The first number in the path counts: further ones are experts and the like.
        layerIndex =
            target.layersPattern.isEmpty
            ? [try RegularExpression(#".*?\.[^.]*\.(?P<index>\d+)\."#, key: "layers_pattern")]
            : try target.layersPattern.map {
                try RegularExpression(#"(?:^|.*?\.)\#($0)\.(?P<index>\d+)\."#, source: $0, key: "layers_pattern")
            }
    }

    func adapts(_ path: String) throws -> Bool {
        if try isExcluded(path) { return false }
        switch target.include {
        case .allLinear: return try !AdaptableModules.heads.contains(path) && isInLayer(path)
        case .only(.expression): return try include?.matchesAll(of: path) ?? false
        case .only(.list(let names)):
            if names.contains(path) { return true }
            return try names.contains { path.hasSuffix("." + $0) } && isInLayer(path)
        }
    }

    private func isExcluded(_ path: String) throws -> Bool {
        switch target.exclude {
        case nil: false
        case .list(let names): names.contains { isNamed(path, $0) }
        case .expression: try exclude?.matchesAll(of: path) ?? false
        }
    }

    private func isInLayer(_ path: String) throws -> Bool {
        guard let layers = target.layers else { return true }
        for pattern in layerIndex {
            guard let index = try pattern.group("index", atStartOf: path) else { continue }
            return Int(index).map(layers.contains) ?? false
        }
        return false
    }
}
