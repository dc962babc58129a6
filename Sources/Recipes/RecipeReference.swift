/// Every key that a recipe can have, for the manual and for error messages.
public struct RecipeReference: Equatable, Sendable {
    /// The section's name.
    public var section: String
    /// The key's name in its section.
    public var name: String
    /// The method that the key belongs to, such as `type: lora`; nil where it is for all.
    public var method: String?
    /// What may be written.
    public var kind: String
    /// What stands where nothing is written, as YAML; nil where the key is required.
    public var defaultValue: String?
    /// What the key does.
    public var summary: String

    /// The section and the key.
    public var path: String { section + "." + name }

    /// The sections in order, each with what it decides.
    public static let sections: [(name: String, summary: String)] = [
        (ModelSettings.name, ModelSettings.summary), (LoRASettings.name, LoRASettings.summary),
        (DatasetSettings.name, DatasetSettings.summary), (SFTSettings.name, SFTSettings.summary),
        (OptimizerSettings.name, OptimizerSettings.summary), (TrainingSettings.name, TrainingSettings.summary),
        (HealthSettings.name, HealthSettings.summary), (OutputSettings.name, OutputSettings.summary),
    ]

    /// The keys in order.
    public static let keys: [RecipeReference] =
        keys(of: ModelSettings.self)
        + [type(in: LoRASettings.name, AdapterSettings.types, "The method.")]
        + adapterKeys
        + keys(of: DatasetSettings.self)
        + [type(in: SFTSettings.name, ObjectiveSettings.types, "The method.")]
        + preferenceKeys + policyKeys + keys(of: RewardModelSettings.self, method: "type: reward")
        + keys(of: OptimizerSettings.self) + keys(of: TrainingSettings.self) + keys(of: HealthSettings.self)
        + keys(of: OutputSettings.self)

    /// The keys in order, those that several methods have once for each.
    static let everyMethodsKeys: [RecipeReference] =
        keys.filter { !["adapter", "objective"].contains($0.section) } + adapterMethods.flatMap { $0 }
        + preferenceKeys + policyMethods.flatMap { $0 } + keys(of: RewardModelSettings.self, method: "type: reward")

    /// The keys of what learns from given answers.
    private static var preferenceKeys: [RecipeReference] {
        keys(of: SFTSettings.self, method: "type: sft") + keys(of: DPOSettings.self, method: "type: dpo")
            + keys(of: KTOSettings.self, method: "type: kto") + keys(of: CPOSettings.self, method: "type: cpo")
            + keys(of: ORPOSettings.self, method: "type: orpo")
    }

    /// The keys of policy optimisation: those that all its methods have, then what each has of its own.
    private static var policyKeys: [RecipeReference] {
        let shared = Set(PPOSettings.sharedKeys.map(\.name))
        return policyMethods[0].filter { shared.contains($0.name) }
            + policyMethods.flatMap { $0.filter { !shared.contains($0.name) } }
    }

    private static var policyMethods: [[RecipeReference]] {
        [
            keys(of: PPOSettings.self, method: "type: ppo"), keys(of: GRPOSettings.self, method: "type: grpo"),
            keys(of: RLOOSettings.self, method: "type: rloo"),
            keys(of: OnlineDPOSettings.self, method: "type: online_dpo"),
        ]
    }

    /// The keys of all methods, each where it comes first.
    private static var adapterKeys: [RecipeReference] {
        adapterMethods.reduce(into: []) { known, more in
            let names = Set(known.map(\.name))
            known += more.filter { !names.contains($0.name) }
        }
    }

    private static var adapterMethods: [[RecipeReference]] {
        [
            keys(of: LoRASettings.self, method: "type: lora"), keys(of: IA3Settings.self, method: "type: ia3"),
            keys(of: PromptSettings.self, method: "type: prompt"),
            keys(of: PrefixSettings.self, method: "type: prefix"),
            keys(of: BottleneckSettings.self, method: "type: bottleneck"),
        ]
    }

    /// The keys as Markdown, a table for each section.
    public static var markdown: String {
        sections.map { section in
            let rows = keys.filter { $0.section == section.name }.map { key in
                let value = key.defaultValue.map { $0 == "null" ? "" : "`\($0)`" } ?? "required"
                // Methods of one section may have a key each of the same name.
                let isShared = keys.contains { $0.path == key.path && $0.method != key.method }
                let method = isShared ? key.method.map { " (\($0))" } ?? "" : ""
                return
                    "| `\(key.name)`\(method) | \(key.kind.replacing("|", with: "\\|")) | \(value) | \(key.summary) |"
            }
            return "**`\(section.name)`** \(section.summary)\n\n| key | value | default | |\n|---|---|---|---|\n"
                + rows.joined(separator: "\n")
        }.joined(separator: "\n\n") + "\n"
    }

    private static func keys<Section: RecipeSection>(of type: Section.Type, method: String? = nil) -> [RecipeReference]
    {
        let defaults = Section()
        return Section.keys.map { key in
            RecipeReference(
                section: Section.name, name: key.name, method: method, kind: key.kind,
                defaultValue: key.isRequired ? nil : yamlText(key.write(defaults)), summary: key.summary)
        }
    }

    private static func type(in section: String, _ types: [String], _ summary: String) -> RecipeReference {
        RecipeReference(
            section: section, name: "type", kind: types.map { "`\($0)`" }.joined(separator: ", "), defaultValue: nil,
            summary: summary)
    }
}
