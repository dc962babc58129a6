import Files

/// The PEFT methods that this program knows.
public enum AdapterRegistry {
    /// Every method, one line each.
    public static let methods: [any AdapterConfiguration.Type] = [
        LoRAConfiguration.self,
        IA3Configuration.self,
        PromptTuningConfiguration.self,
        PrefixTuningConfiguration.self,
        BottleneckConfiguration.self,
    ]

    /// The method of a `peft_type`.
    ///
    /// - Throws: `InputError` with the nearest one, and all that there are.
    static func method(peftType name: String, file: String) throws -> any AdapterConfiguration.Type {
        if let method = methods.first(where: { $0.peftType == name }) { return method }
        let known = methods.map { $0.peftType }
        let near = nearestName(to: name, among: known).map { "Did you mean \"\($0)\"? " } ?? ""
        throw InputError(
            "adapters of the type \"\(name)\" are not supported", file: file, place: "`peft_type`",
            hint: near + "Supported: \(known.joined(separator: ", "))")
    }
}
