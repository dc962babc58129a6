/// `output:`, where the run is written.
public struct OutputSettings: Equatable, Sendable {
    /// The run's folder.
    public var path = ""
    /// Optimizer steps between checkpoints; 0 for none but those of a run that is stopped.
    public var saveSteps = 100
    /// How many checkpoints are kept; older ones are removed.
    public var keepCheckpoints = 2

    /// The defaults, with no folder named.
    public init() {}
}

extension OutputSettings: RecipeSection {
    static let name = "output"
    static let summary = "Where the run is written."

    static var keys: [RecipeKey<Self>] {
        [
            RecipeKey("path", \.path, required: true, "The run's folder."),
            RecipeKey(
                "save_steps", \.saveSteps, range: .atLeast(0),
                "Optimizer steps between checkpoints; 0 for none but that of a run that is stopped."),
            RecipeKey(
                "keep_checkpoints", \.keepCheckpoints, range: .atLeast(1),
                "How many checkpoints are kept; older ones are removed."),
        ]
    }
}
