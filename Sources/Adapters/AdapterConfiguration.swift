import Files
import Layers
import Tensors

/// What a PEFT method is set to: what it adapts and how. One type a method, in `Methods/`, with a line in ``AdapterRegistry``.
///
/// It is read from and written to `adapter_config.json` under PEFT's own keys.
public protocol AdapterConfiguration: Hashable, Sendable {
    /// The method's name in recipes: `lora`.
    static var type: String { get }
    /// The method's `peft_type` in `adapter_config.json`: `LORA`.
    static var peftType: String { get }

    /// Why an adapter of the method cannot be folded into weights; nil where it can.
    static var mergeRefusal: String? { get }

    /// Reads the method's keys from `adapter_config.json`.
    ///
    /// - Throws: `InputError` naming a key whose value has another type, or asks for what this program does not do.
    init(_ reader: inout PEFTReader) throws

    /// The method's keys as PEFT writes them for a model, those common to all methods left out.
    func peftKeys(for modules: AdaptableModules) throws -> [String: JSON]

    /// Checks values that no file or recipe should have; the message names the key.
    func validate() throws

    /// What goes where on a model.
    ///
    /// - Parameters:
    ///   - modules: those of the model.
    ///   - strict: whether the adapter is a new one, for which a setting that fits nothing is an error. False for a saved one, whose
    ///     tensors say what it adapts; its plans make adapters whose parameters are the saved tensors.
    /// - Returns: for each adapted module the plan of its adapter.
    /// - Throws: `InputError` naming the key at fault.
    func plan(for modules: AdaptableModules, strict: Bool) throws -> [AdapterPlan]
}

extension AdapterConfiguration {
    /// Most methods change weights.
    public static var mergeRefusal: String? { nil }
}

/// One module's adapter before it exists: where it goes, and its tensors' shapes, so that files are checked before memory is taken.
public struct AdapterPlan {
    /// The path of the module in whose slot it goes.
    public var path: String
    /// The shapes of the adapter's tensors by name, in order: `lora_A.weight` `[r, in]`. The names are PEFT's, after the module's path.
    public var shapes: [(name: String, shape: [Int])]
    /// Makes it, with random initial values under a seed. It is of the kind that the module's slot takes, and its
    /// ``Adapter/savedTensors`` are those of the plan.
    public var make: (_ seed: UInt64) -> any Adapter
    /// The weight below the adapter where its file may hold one to be used instead, as PEFT writes it for embeddings and heads.
    let base: Parameter?

    /// Makes a plan.
    public init(
        path: String, shapes: [(name: String, shape: [Int])], make: @escaping (_ seed: UInt64) -> any Adapter
    ) {
        self.init(path: path, shapes: shapes, base: nil, make: make)
    }

    init(
        path: String, shapes: [(name: String, shape: [Int])], base: Parameter?,
        make: @escaping (_ seed: UInt64) -> any Adapter
    ) {
        self.path = path
        self.shapes = shapes
        self.base = base
        self.make = make
    }

    /// The adapter's tensors as a file names them.
    var tensors: [(key: String, shape: [Int])] { shapes.map { (adapterKey(path, $0.name), $0.shape) } }

    /// The weight that a file may hold.
    var baseTensor: (key: String, shape: [Int])? {
        base.map { (adapterKey(path, baseWeightName), $0.value.shape) }
    }
}

/// The key in a file of an adapter's tensor. What PEFT learns instead of a prompt stands for itself: it is on no module of the model.
func adapterKey(_ path: String, _ name: String) -> String {
    name == "prompt_embeddings" ? name : "base_model.model." + path + "." + name
}
