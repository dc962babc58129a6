import Tensors

/// A part of a model that holds parameters or further parts, each under a name of its own.
///
/// Names joined by dots make the path of a parameter, and paths are those of Hugging Face checkpoints:
/// `model.layers.0.self_attn.q_proj.weight`.
public protocol Module: AnyObject {
    /// The parts, in order.
    var children: [(name: String, module: any Module)] { get }
    /// The parameters held directly.
    var ownParameters: [(name: String, parameter: Parameter)] { get }
}

extension Module {
    /// No parts.
    public var children: [(name: String, module: any Module)] { [] }
    /// No parameters.
    public var ownParameters: [(name: String, parameter: Parameter)] { [] }

    /// This module and all below it, with their paths, outermost first.
    public func modules(path: String = "") -> [(path: String, module: any Module)] {
        [(path, self)] + children.flatMap { $0.module.modules(path: joined(path, $0.name)) }
    }

    /// All parameters with their paths. One that is held in two places (a tied head) is listed once, where it comes first.
    public func parameters() -> [(path: String, parameter: Parameter)] {
        var seen: Set<ObjectIdentifier> = []
        return modules().flatMap { path, module in
            module.ownParameters.map { (joined(path, $0.name), $0.parameter) }
        }.filter { seen.insert(ObjectIdentifier($0.1)).inserted }
    }

    /// The parameters that training changes, with their paths.
    public func trainableParameters() -> [(path: String, parameter: Parameter)] {
        parameters().filter { $0.parameter.isTrainable }
    }

    /// Whether training changes anything in it.
    var isTrained: Bool {
        ownParameters.contains { $0.parameter.isTrainable } || children.contains { $0.module.isTrained }
    }

    /// Freezes every parameter, or makes every one trainable.
    public func setTrainable(_ isTrainable: Bool) {
        for (_, parameter) in parameters() { parameter.isTrainable = isTrainable }
    }
}

private func joined(_ path: String, _ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }
