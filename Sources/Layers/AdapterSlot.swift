import Tensors

/// What a method puts on one module of a frozen model. What it does there is said by the kind that the module's slot takes.
public protocol Adapter: Module {
    /// Its tensors as a file holds them, under their names after the module's path: its parameters, unless a method says otherwise.
    var savedTensors: [(name: String, value: Tensor)] { get }
}

extension Adapter {
    /// The values of the parameters.
    public var savedTensors: [(name: String, value: Tensor)] { parameters().map { ($0.path, $0.parameter.value) } }
}

/// A module that can be adapted: it has a slot for named adapters of one kind. Which of them apply is the context's to say.
///
/// What a module computes without adapters stays under its own keys, whatever is attached.
public protocol AdaptableModule: Module {
    /// What the slot takes.
    associatedtype Kind
    /// The adapters.
    var slot: AdapterSlot<Kind> { get set }
}

extension AdaptableModule {
    /// Puts an adapter in the slot, replacing one of the same name. It must be of the slot's kind.
    public func attach(_ adapter: any Adapter, name: String) { slot.attach(adapter, name: name) }

    /// Takes an adapter out of the slot.
    public func detach(_ name: String) { slot.detach(name) }

    /// The adapter of a name, if there is one.
    public func adapter(_ name: String) -> Kind? { slot[name] }

    /// The adapter of a name as a module.
    public func adapterModule(_ name: String) -> (any Adapter)? { slot.module(name) }
}

/// The adapters of one module by name, in the order attached.
public struct AdapterSlot<Kind> {
    private var entries: [(name: String, adapter: Kind, module: any Adapter)] = []

    /// An empty slot.
    public init() {}

    /// The names, in order.
    public var names: [String] { entries.map(\.name) }

    /// The adapters as parts of the module that they are on.
    public var children: [(name: String, module: any Module)] { entries.map { ($0.name, $0.module) } }

    /// The adapter of a name.
    public subscript(_ name: String) -> Kind? { entries.first { $0.name == name }?.adapter }

    /// Those that a context makes active, in its order.
    public func active(_ context: ForwardContext) -> [Kind] { context.adapters.compactMap { self[$0] } }

    func module(_ name: String) -> (any Adapter)? { entries.first { $0.name == name }?.module }

    mutating func attach(_ adapter: any Adapter, name: String) {
        guard let fitting = adapter as? Kind else {
            preconditionFailure("a \(type(of: adapter)) in a slot for \(Kind.self)")
        }
        if let index = entries.firstIndex(where: { $0.name == name }) {
            entries[index] = (name, fitting, adapter)
        } else {
            entries.append((name, fitting, adapter))
        }
    }

    mutating func detach(_ name: String) { entries.removeAll { $0.name == name } }
}
