/// One run, as a page: what is trained, on what, towards what, how, for how long, and where it goes.
///
/// ```yaml
/// model:     { path: Models/SmolLM2-135M-Instruct.gguf }
/// adapter:   { type: lora, r: 16, lora_alpha: 32 }
/// dataset:   { train: Datasets/chat/data.jsonl, eval: 0.05 }
/// objective: { type: sft }
/// optimizer: { learning_rate: 2.0e-4, schedule: cosine }
/// training:  { epochs: 1 }
/// output:    { path: Adapters/my-run }
/// ```
///
/// A recipe that has been read holds no contradiction: ``RecipeReader`` checks every key, every range, and what several keys demand
/// of each other.
public struct Recipe: Equatable, Sendable {
    /// The network.
    public var model = ModelSettings()
    /// What is trained on top of it; nil to train every weight.
    public var adapter: AdapterSettings?
    /// The rows and their batches.
    public var dataset = DatasetSettings()
    /// What training makes smaller.
    public var objective = ObjectiveSettings.sft(SFTSettings())
    /// How gradients become steps.
    public var optimizer = OptimizerSettings()
    /// How long, and with what.
    public var training = TrainingSettings()
    /// When a run raises an alarm.
    public var health = HealthSettings()
    /// Where the run is written.
    public var output = OutputSettings()

    /// The defaults, with no model, rows and folder named.
    public init() {}

    /// The recipe with every value written out, defaults too. Reading it gives this recipe again.
    public var resolved: String {
        var text = "# Every value of the run, defaults included.\n"
        for (name, entries) in sections {
            text += name + (entries == nil ? ": null\n" : ":\n")
            for entry in entries ?? [] { text += "  \(entry.key): \(yamlText(entry.value.content))\n" }
        }
        return text
    }

    /// Every value under its key path, as YAML.
    var entries: [(keyPath: String, value: String)] {
        sections.flatMap { name, entries in
            (entries ?? []).map { ("\(name).\($0.key)", yamlText($0.value.content)) }
        }
    }

    private var sections: [(name: String, entries: [RecipeNode.Entry]?)] {
        [
            (ModelSettings.name, model.written), (LoRASettings.name, adapter?.written),
            (DatasetSettings.name, dataset.written), (SFTSettings.name, objective.written),
            (OptimizerSettings.name, optimizer.written), (TrainingSettings.name, training.written),
            (HealthSettings.name, health.written), (OutputSettings.name, output.written),
        ]
    }
}
