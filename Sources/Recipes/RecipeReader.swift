import Files

/// Reads recipes, strictly: an unknown key, a value of another type or out of range, or values that contradict each other are errors
/// that name file, line, key path and the nearest valid thing.
public enum RecipeReader {
    private static let largestFile = 1 << 20

    /// Reads a recipe's file.
    ///
    /// - Parameters:
    ///   - path: a YAML file.
    ///   - overrides: `key.path=value` each, the value in YAML; they replace what the file says, with the same checks.
    /// - Returns: the recipe, free of contradictions.
    /// - Throws: ``InputError``.
    public static func read(_ path: String, overrides: [String] = []) throws -> Recipe {
        let bytes = try ByteSource(path).readAll(limit: largestFile)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw InputError("the recipe is not UTF-8", file: path)
        }
        return try read(text: text, file: path, overrides: overrides)
    }

    /// Reads a recipe's text; `file` is what errors call it.
    public static func read(text: String, file: String, overrides: [String] = []) throws -> Recipe {
        var root = try YAMLParsing(file: file).parse(text)
        guard root.isNull || root.entries != nil else {
            throw root.place.fault("a recipe is a mapping of sections, not \(root.found)")
        }
        for override in overrides { try apply(override, to: &root) }
        guard let sections = root.entries, !sections.isEmpty else {
            throw InputError("the recipe is empty", file: file)
        }
        var recipe = try recipe(of: sections, file: file)
        try RecipeRules(sections: sections, file: file).settle(&recipe)
        return recipe
    }

    private static func recipe(of sections: [RecipeNode.Entry], file: String) throws -> Recipe {
        let known = RecipeReference.sections.map(\.name)
        for section in sections where !known.contains(section.key) { throw unknownSection(section) }
        func section(_ name: String) -> RecipeNode.Entry? { sections.first { $0.key == name && !$0.value.isNull } }
        func read<Section: RecipeSection>(_ type: Section.Type) throws -> Section {
            guard let found = section(Section.name) else {
                return try Section(reading: [], of: RecipePlace(file: file))
            }
            return try Section(reading: try sectionEntries(found), of: found.place)
        }

        var recipe = Recipe()
        recipe.model = try read(ModelSettings.self)
        recipe.adapter = try section(LoRASettings.name).map(AdapterSettings.init(reading:))
        recipe.dataset = try read(DatasetSettings.self)
        guard let objective = section(SFTSettings.name) else {
            let types = ObjectiveSettings.types.map { "`\($0)`" }.joined(separator: ", ")
            throw InputError("`objective.type` is missing", file: file, hint: "this version has \(types)")
        }
        recipe.objective = try ObjectiveSettings(reading: objective)
        recipe.optimizer = try read(OptimizerSettings.self)
        recipe.training = try read(TrainingSettings.self)
        recipe.health = try read(HealthSettings.self)
        recipe.output = try read(OutputSettings.self)
        return recipe
    }

    /// Applies one `key.path=value`. The first part is the section, the second its key; what follows is a name in a mapping, dots and all.
    private static func apply(_ override: String, to root: inout RecipeNode) throws {
        let place = RecipePlace(text: "--set " + override)
        guard let sign = override.firstIndex(of: "="), sign != override.startIndex else {
            throw place.fault("an override is written key.path=value")
        }
        let path = override[..<sign].split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false).map(
            String.init)
        guard path.allSatisfy({ !$0.isEmpty }) else { throw place.fault("an override is written key.path=value") }
        let value = try YAMLParsing(argument: place.text).parse(String(override[override.index(after: sign)...]))
        root.set(path[...], to: value)
    }
}
