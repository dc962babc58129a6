import Files
import Layers

/// What a PEFT method is set to: which layers it adapts and how. One type a method, in `Methods/`, with a line in ``AdapterRegistry``.
///
/// It is read from and written to `adapter_config.json` under PEFT's own keys.
public protocol AdapterConfiguration: Hashable, Sendable {
    /// The method's name in recipes: `lora`.
    static var type: String { get }
    /// The method's `peft_type` in `adapter_config.json`: `LORA`.
    static var peftType: String { get }

    /// The layers that are adapted.
    var target: TargetModules { get }

    /// Reads the method's keys from `adapter_config.json`.
    ///
    /// - Throws: `InputError` naming a key whose value has another type, or asks for what this program does not do.
    init(_ reader: inout PEFTReader) throws

    /// The method's keys as PEFT writes them for these modules of a model, `target_modules` and the keys common to all methods left out.
    func peftKeys(for paths: [String]) throws -> [String: JSON]

    /// Checks values that no file or recipe should have; the message names the key.
    func validate() throws

    /// What each layer gets.
    ///
    /// The parameters of an adapter have the names PEFT gives their tensors after the module's path: `lora_A.weight`.
    ///
    /// - Parameters:
    ///   - layers: the adapted layers with their paths.
    ///   - strict: whether a setting that fits no layer is an error; see ``ModuleTable``.
    /// - Returns: for each layer the plan of its adapter.
    /// - Throws: `InputError` naming the key at fault.
    func plan(for layers: [(path: String, layer: Linear)], strict: Bool) throws -> [AdapterPlan]
}

/// One layer's adapter before it exists: its tensors' shapes, so that files are checked before memory is taken.
public struct AdapterPlan {
    /// The path of the layer.
    public var path: String
    /// The shapes of the adapter's tensors by name, in order: `lora_A.weight` `[r, in]`.
    public var shapes: [(name: String, shape: [Int])]
    /// Makes it, with random initial values under a seed.
    public var make: (_ seed: UInt64) -> any LinearAdapter

    /// Makes a plan.
    public init(
        path: String, shapes: [(name: String, shape: [Int])], make: @escaping (_ seed: UInt64) -> any LinearAdapter
    ) {
        self.path = path
        self.shapes = shapes
        self.make = make
    }
}
